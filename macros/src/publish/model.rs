//! The options of a publishing function, and which of its parameters its events are staged on.

use proc_macro2::Ident;
use syn::{FnArg, LitStr, Pat, PatType, Type};

use crate::{
    args::{Args, Known, known},
    diagnostics::{Errors, one_of},
    function::Function,
    values,
};

/// Every option of `#[tracked_publish]`.
pub(super) const KNOWN: &[Known] = known![
    Value "retries" "retries = 3",
    Value "topic" "topic = \"booking-confirmed\"",
    Value "on" "on = tx",
    Value "crate" "crate = \"events\"",
];

/// The options as given.
pub(super) struct Options {
    pub(super) retries: Option<u32>,
    pub(super) topic: Option<LitStr>,
    on: Option<Ident>,
}

impl Options {
    /// Reads every option.
    pub(super) fn read(args: &mut Args, errors: &mut Errors) -> Self {
        Self {
            retries: args.take("retries").and_then(|arg| values::count(&arg, errors)),
            topic: args.take("topic").and_then(|arg| arg.parse(errors)),
            on: args.take("on").and_then(|arg| arg.parse(errors)),
        }
    }
}

/// What the events are staged on.
pub(super) struct Stage {
    pub(super) kind: StageKind,
    pub(super) name: Ident,
    pub(super) ty: Type,
}

/// The kinds of parameter that events can be staged on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StageKind {
    /// `&mut` a connection: in the caller's transaction.
    Connection,
    /// `&Publisher`: in a transaction of their own.
    Publisher,
}

/// A parameter that could be it.
struct Candidate<'f> {
    kind: StageKind,
    name: Option<&'f Ident>,
    input: &'f PatType,
    ty: &'f Type,
}

impl Stage {
    /// Finds the parameter: the one that `on` names, the only `&mut` one, or the `&Publisher`.
    pub(super) fn read(function: &Function, options: &Options, errors: &mut Errors) -> Option<Self> {
        let candidates: Vec<_> = function.sig.inputs.iter().filter_map(Candidate::read).collect();
        let chosen = match &options.on {
            Some(on) => named(on, &candidates, errors),
            None => only(function, &candidates, errors),
        }?;
        if chosen.kind == StageKind::Publisher && function.sig.asyncness.is_none() {
            let message = "a publisher is awaited; make the function `async`, or take a `&mut` connection";
            errors.at(&chosen.input.ty, message);
        }
        match chosen.name {
            Some(name) => Some(Self { kind: chosen.kind, name: name.clone(), ty: chosen.ty.clone() }),
            None => {
                errors.at(&chosen.input.pat, "the events are staged on this parameter; give it a name, such as `tx`");
                None
            }
        }
    }
}

impl<'f> Candidate<'f> {
    fn read(input: &'f FnArg) -> Option<Self> {
        let FnArg::Typed(input) = input else { return None };
        let Type::Reference(reference) = bare(&input.ty) else { return None };
        let kind = match (reference.mutability, &*reference.elem) {
            (Some(_), _) => StageKind::Connection,
            (None, elem) if is_publisher(elem) => StageKind::Publisher,
            (None, _) => return None,
        };
        let name = match &*input.pat {
            Pat::Ident(pat) if pat.subpat.is_none() && pat.by_ref.is_none() => Some(&pat.ident),
            _ => None,
        };
        Some(Self { kind, name, input, ty: &reference.elem })
    }
}

fn named<'c, 'f>(on: &Ident, candidates: &'c [Candidate<'f>], errors: &mut Errors) -> Option<&'c Candidate<'f>> {
    let found = candidates.iter().find(|candidate| candidate.name == Some(on));
    if found.is_none() {
        let names = names(candidates);
        let cure = match names.as_slice() {
            [] => "add a parameter `tx: &mut Tx<'_>` and name it".to_owned(),
            names => format!("write {}", one_of(&names.iter().map(String::as_str).collect::<Vec<_>>())),
        };
        errors.at(on, format!("`{on}` is not a `&mut` connection or a `&Publisher` of this function; {cure}"));
    }
    found
}

fn only<'c, 'f>(
    function: &Function,
    candidates: &'c [Candidate<'f>],
    errors: &mut Errors,
) -> Option<&'c Candidate<'f>> {
    let of = |kind: StageKind| candidates.iter().filter(move |candidate| candidate.kind == kind).collect::<Vec<_>>();
    let chosen = match (of(StageKind::Connection).as_slice(), of(StageKind::Publisher).as_slice()) {
        ([], []) => {
            errors.at(
                &function.sig.ident,
                "the events need somewhere to be staged; add a connection parameter such as `tx: &mut Tx<'_>` (the \
                 caller's transaction), or `publisher: &Publisher` (a transaction of their own)",
            );
            return None;
        }
        ([one], _) | ([], [one]) => *one,
        ([], several) | (several, _) => {
            let names: Vec<_> =
                several.iter().filter_map(|candidate| candidate.name).map(ToString::to_string).collect();
            let choices: Vec<_> = names.iter().map(|name| format!("on = {name}")).collect();
            let choices = one_of(&choices.iter().map(String::as_str).collect::<Vec<_>>());
            let message = format!("several parameters could be the connection; say which: {choices}");
            errors.at(&function.sig.ident, message);
            return None;
        }
    };
    Some(chosen)
}

fn names(candidates: &[Candidate<'_>]) -> Vec<String> {
    candidates.iter().filter_map(|candidate| candidate.name).map(ToString::to_string).collect()
}

fn is_publisher(ty: &Type) -> bool {
    matches!(bare(ty), Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Publisher"))
}

fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        other => other,
    }
}
