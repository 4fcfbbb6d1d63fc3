//! The generated main, as a person or a script meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod booking;
mod configuration;
mod help;
mod migrate;
mod operate;
mod record;
mod serve;
