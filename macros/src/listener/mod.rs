//! `#[tracked_listener]`.

mod backoff;
mod expand;
mod model;
mod options;
mod validate;

use proc_macro2::TokenStream;
use quote::ToTokens;

use crate::{args::Args, diagnostics::Errors, function::Function, paths::Runtime};

/// The function, and its declaration beside it.
pub(crate) fn attribute(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut args = Args::parse(options, options::KNOWN, &mut errors);
    let runtime = Runtime::read(&mut args, &mut errors);
    let options = options::Options::read(&mut args, &mut errors);
    validate::options(&options, &mut errors);
    let Some(function) = Function::read(item.clone(), "tracked_listener", &mut errors) else {
        return [item, errors.to_token_stream()].into_iter().collect();
    };
    let handler = model::Handler::read(&function, &options, &mut errors);
    match handler {
        Some(handler) if errors.is_empty() => expand::listener(&runtime, &function, &options, &handler),
        _ => expand::stand_in(&runtime, &function, &errors),
    }
}

#[cfg(test)]
mod tests;
