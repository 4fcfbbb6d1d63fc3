//! `consumer_main!`.

mod expand;
mod model;
mod validate;

use proc_macro2::TokenStream;
use quote::ToTokens;

use crate::{args::Args, diagnostics::Errors, paths::Runtime};

/// The program's `main`.
pub(crate) fn function(options: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut args = Args::parse(options, model::KNOWN, &mut errors);
    let runtime = Runtime::read(&mut args, &mut errors);
    let main = model::Main::read(&mut args, &mut errors);
    validate::check(&main, &mut errors);
    if errors.is_empty() {
        expand::main(&runtime, &main)
    } else {
        [expand::stand_in(), errors.to_token_stream()].into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
