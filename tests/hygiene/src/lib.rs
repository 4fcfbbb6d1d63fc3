//! The test is in `tests/`; this crate has no code of its own.
