//! The generated main: `consumer_main!` gives a service's program these commands beside its own.
//!
//! ```text
//! run        consume and publish until told to stop          dlq      dead letters: list, show, retry, discard
//! migrate    bring the database's tables up to date          outbox   what could not be published
//! listeners  what this program handles; pause, resume        doctor   what is wrong, and what to do
//! status     open work, lag, dead letters                    events   search the record; one event's whole life
//! ```
//!
//! Every command that prints takes `--json` and then prints one JSON document; exit codes are for scripts.

mod args;
mod commands;
mod exit;
mod explain;
mod logging;
mod main_builder;
mod output;
mod record;
mod service;
mod setup;

pub use self::{
    main_builder::{Command, MainBuilder, NoCommand},
    output::Output,
    service::Service,
};
