//! An annotated function, with its body left as it is: what the compiler has to say about a body, it says itself.

use proc_macro2::{Group, TokenStream};
use quote::ToTokens;
use syn::{
    Attribute, ReturnType, Signature, Type, Visibility,
    parse::{Parse, ParseStream},
};

use crate::diagnostics::Errors;

/// A function or method.
pub(crate) struct Function {
    /// Its other attributes.
    pub(crate) attrs: Vec<Attribute>,
    /// Its visibility.
    pub(crate) vis: Visibility,
    /// Its signature.
    pub(crate) sig: Signature,
    /// Its body, braces included.
    pub(crate) body: Group,
}

impl Function {
    /// Reads the item under `#[attribute]`.
    pub(crate) fn read(item: TokenStream, attribute: &str, errors: &mut Errors) -> Option<Self> {
        let parsed = syn::parse2(item.clone());
        if let Err(error) = &parsed {
            match syn::parse2::<syn::Item>(item.clone()) {
                Ok(_) => errors.at(item, format!("`#[{attribute}]` goes on a function with a body")),
                Err(_) => errors.push(error.clone()),
            }
        }
        parsed.ok()
    }

    /// The attributes that decide whether the function is there at all.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Attribute> {
        self.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg"))
    }

    /// The return type, when one is written.
    pub(crate) fn output(&self) -> Option<&Type> {
        match &self.sig.output {
            ReturnType::Type(_, ty) => Some(ty),
            ReturnType::Default => None,
        }
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let (vis, sig) = (input.parse()?, input.parse()?);
        if !input.peek(syn::token::Brace) {
            return Err(input.error("expected a function with a body"));
        }
        Ok(Self { attrs, vis, sig, body: input.parse()? })
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.attrs.iter().map(ToTokens::to_token_stream));
        self.vis.to_tokens(tokens);
        self.sig.to_tokens(tokens);
        self.body.to_tokens(tokens);
    }
}
