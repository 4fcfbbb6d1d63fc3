//! Compiles each file in `pass/` and `fail/`. After a message was changed on purpose: `TRYBUILD=overwrite`.

#[test]
fn what_is_right_compiles() {
    trybuild::TestCases::new().pass("pass/*.rs");
}

#[test]
fn every_mistake_has_its_message() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
