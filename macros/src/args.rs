//! Options as people write them: `name = value` or `name`, separated by commas.
//!
//! One bad option never hides another: each is read on its own, and what cannot be read is reported and passed over.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::parse::Parse;

use crate::diagnostics::{Errors, unknown};

/// An option that a macro knows.
pub(crate) struct Known {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it takes a value.
    pub(crate) form: Form,
    /// A right way to write it.
    pub(crate) example: &'static str,
}

/// How an option is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `name`
    Flag,
    /// `name = value`
    Value,
}

/// A table of options.
macro_rules! known {
    ($($form:ident $name:literal $example:literal),* $(,)?) => {
        &[$($crate::args::Known { name: $name, form: $crate::args::Form::$form, example: $example }),*]
    };
}
pub(crate) use known;

/// The options given, each at most once.
pub(crate) struct Args {
    known: &'static [Known],
    given: Vec<Arg>,
}

/// An option as given.
pub(crate) struct Arg {
    /// Its name, in the source.
    pub(crate) name: Ident,
    /// Its value's tokens; none for a flag.
    pub(crate) value: TokenStream,
    known: &'static Known,
}

impl Args {
    /// No options yet.
    pub(crate) fn new(known: &'static [Known]) -> Self {
        Self { known, given: Vec::new() }
    }

    /// Reads `tokens`: options separated by commas.
    pub(crate) fn parse(tokens: TokenStream, known: &'static [Known], errors: &mut Errors) -> Self {
        let mut args = Self::new(known);
        args.extend(tokens, errors);
        args
    }

    /// Reads more options, as from a second attribute on the same item.
    pub(crate) fn extend(&mut self, tokens: TokenStream, errors: &mut Errors) {
        for chunk in split_at_commas(tokens) {
            if let Some(arg) = self.read(chunk, errors) {
                self.given.push(arg);
            }
        }
    }

    /// The option of this name, if it was given.
    pub(crate) fn take(&mut self, name: &str) -> Option<Arg> {
        let at = self.given.iter().position(|arg| arg.known.name == name)?;
        Some(self.given.swap_remove(at))
    }

    fn read(&self, chunk: Vec<TokenTree>, errors: &mut Errors) -> Option<Arg> {
        let mut tokens = chunk.into_iter();
        let name = match tokens.next() {
            Some(TokenTree::Ident(name)) => name,
            other => {
                errors.at(TokenStream::from_iter(other), format!("expected an option such as `{}`", self.example()));
                return None;
            }
        };
        let known = self.find(&name, errors)?;
        let value = value_of(&name, known, tokens.collect(), errors)?;
        if self.given.iter().any(|arg| arg.known.name == known.name) {
            errors.at(&name, format!("`{name}` is given twice; remove one"));
            return None;
        }
        Some(Arg { name, value, known })
    }

    fn find(&self, name: &Ident, errors: &mut Errors) -> Option<&'static Known> {
        let found = self.known.iter().find(|known| name == known.name);
        if found.is_none() {
            let names: Vec<_> = self.known.iter().map(|known| known.name).collect();
            errors.at(name, unknown("option", &name.to_string(), &names));
        }
        found
    }

    fn example(&self) -> &'static str {
        self.known.first().map_or("name = value", |known| known.example)
    }
}

impl Arg {
    /// The value as a `T`; otherwise a mistake that shows a right value.
    pub(crate) fn parse<T: Parse>(&self, errors: &mut Errors) -> Option<T> {
        let parsed = syn::parse2(self.value.clone());
        if parsed.is_err() {
            self.refuse(errors);
        }
        parsed.ok()
    }

    /// Reports that the value is of the wrong kind.
    pub(crate) fn refuse(&self, errors: &mut Errors) {
        let (name, value, example) = (&self.name, &self.value, self.known.example);
        errors.at(value, format!("`{name}` cannot be `{value}`; write it as in `{example}`"));
    }
}

fn value_of(name: &Ident, known: &Known, rest: Vec<TokenTree>, errors: &mut Errors) -> Option<TokenStream> {
    let mut rest = rest.into_iter().peekable();
    let equals = rest.next_if(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '='));
    let value: TokenStream = rest.collect();
    match (known.form, equals, value.is_empty()) {
        (Form::Flag, None, true) | (Form::Value, Some(_), false) => return Some(value),
        (Form::Flag, ..) => errors.at(name, format!("`{name}` takes no value; write `{name}` alone")),
        (Form::Value, ..) => errors.at(name, format!("`{name}` needs a value; write it as in `{}`", known.example)),
    }
    None
}

fn split_at_commas(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut chunks = vec![Vec::new()];
    for token in tokens {
        match (&token, chunks.last_mut()) {
            (TokenTree::Punct(punct), Some(chunk)) if punct.as_char() == ',' && !chunk.is_empty() => {
                chunks.push(Vec::new());
            }
            (_, Some(chunk)) => chunk.push(token),
            (_, None) => {}
        }
    }
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}
