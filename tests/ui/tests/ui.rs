//! What the macros say to each mistake: every file in `fail/`, with its messages beside it. What is right is in the
//! other tests, which compile it and look at what comes out.
//!
//! After a message was changed on purpose, run with `TRYBUILD=overwrite` and read the difference.

#[test]
fn every_mistake_has_its_message() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
