//! What scenario tests share: a database for each test, services on it, and the record as plain SQL shows it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has to stop and say why"
)]

mod database;
mod every_database;
mod logs;
mod meter;
mod record;
mod service;
mod wait;

pub use self::{
    database::{Database, Engine, Locked},
    logs::errors_about,
    meter::{counted, counted_as},
    record::{Transition, Transitions},
    service::Service,
    wait::{DEADLINE, eventually, within},
};
