//! What the library promises, as stories of services.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by stopping"
)]

mod note;
mod process;

mod bad_input;
mod crash;
mod dead_letters;
mod drain;
mod isolation;
mod lifecycle;
mod listeners;
mod order;
mod outage;
mod pause;
mod publishing;
mod seeds;
mod several;
mod start_up;
mod transactions;
mod verdicts;
