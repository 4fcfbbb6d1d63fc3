use insta::assert_snapshot;
use quote::quote;

use super::function;
use crate::snapshot::formatted;

#[test]
fn the_smallest_main() {
    assert_snapshot!(formatted(function(quote!())));
}

#[test]
fn a_main_with_everything() {
    assert_snapshot!(formatted(function(quote! {
        default = Cli::Demo { file: None }, setup = app::setup, command = Cli, crate = "events",
    })));
}

#[test]
fn a_main_without_default() {
    assert_snapshot!(formatted(function(quote!(command = cli::Cli))));
}

#[test]
fn a_mistaken_main_is_still_a_main() {
    assert_snapshot!(formatted(function(quote!(default = Cli::Demo))));
}
