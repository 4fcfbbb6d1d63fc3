//! Expansions as people would write them.

use proc_macro2::TokenStream;

/// `expansion`, formatted; it must be items that parse.
#[track_caller]
pub(crate) fn formatted(expansion: TokenStream) -> String {
    match syn::parse2(expansion.clone()) {
        Ok(file) => prettyplease::unparse(&file),
        Err(error) => panic!("the expansion does not parse: {error}\n{expansion}"),
    }
}
