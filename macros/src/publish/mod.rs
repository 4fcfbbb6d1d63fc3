//! `#[tracked_publish]`.

mod expand;
mod model;
mod validate;

use proc_macro2::TokenStream;
use quote::ToTokens;

use crate::{args::Args, diagnostics::Errors, function::Function, paths::Runtime};

/// The function, with staging around its body.
pub(crate) fn attribute(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut args = Args::parse(options, model::KNOWN, &mut errors);
    let runtime = Runtime::read(&mut args, &mut errors);
    let options = model::Options::read(&mut args, &mut errors);
    validate::options(&options, &mut errors);
    let Some(function) = Function::read(item.clone(), "tracked_publish", &mut errors) else {
        return [item, errors.to_token_stream()].into_iter().collect();
    };
    validate::function(&function, &mut errors);
    let stage = model::Stage::read(&function, &options, &mut errors);
    match (stage, function.output()) {
        (Some(stage), Some(returns)) if errors.is_empty() => {
            expand::publisher(&runtime, &function, &options, &stage, returns)
        }
        _ => [function.to_token_stream(), errors.to_token_stream()].into_iter().collect(),
    }
}

#[cfg(test)]
mod tests;
