//! `#[derive(TrackedEvent)]`.

mod expand;
mod model;
mod serde;
mod validate;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::DeriveInput;

use crate::diagnostics::Errors;

/// The implementation of `TrackedEvent` for a struct or an enum.
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return error.to_compile_error(),
    };
    let mut errors = Errors::default();
    let event = model::Event::read(&input, &mut errors);
    validate::check(&event, &mut errors);
    let mut tokens = expand::implementation(&event);
    errors.to_tokens(&mut tokens);
    tokens
}

#[cfg(test)]
mod tests;
