//! Processes are killed at every point at which they can lose something, and a checker of its own reads what is left.
//!
//! `docs/reliability.md` says what each point is, and how to run this for longer.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by stopping"
)]

mod campaign;
mod checker;
mod process;

mod guards;
mod points;
mod random;
