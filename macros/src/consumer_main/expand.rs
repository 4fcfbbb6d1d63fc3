//! The generated `main`.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::spanned::Spanned;

use super::model::Main;
use crate::paths::Runtime;

/// The program.
pub(super) fn main(runtime: &Runtime, main: &Main) -> TokenStream {
    let here = Span::mixed_site();
    let setup = main.setup.as_ref().map(|path| quote_spanned!(path.span().resolved_at(here)=> .setup(#path)));
    let default = match &main.default {
        Some(default) => {
            let value = &default.value;
            quote_spanned!(here=> ::core::option::Option::Some(#value))
        }
        None => quote_spanned!(here=> ::core::option::Option::None),
    };
    let command =
        main.command.as_ref().map(|ty| quote_spanned!(ty.span().resolved_at(here)=> .command::<#ty>(#default)));
    quote_spanned! {here=>
        fn main() -> #runtime::__private::std::process::ExitCode {
            #runtime::__private::MainBuilder::new(
                ::core::env!("CARGO_PKG_NAME"),
                ::core::env!("CARGO_PKG_VERSION"),
            )
            #setup
            #command
            .main()
        }
    }
}

/// A `main` that does nothing, so that its absence is not reported beside the mistakes.
pub(super) fn stand_in() -> TokenStream {
    quote_spanned!(Span::mixed_site()=> fn main() {})
}
