//! The command line of the generated main.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::commands::{
    dlq::DlqArgs, doctor::DoctorArgs, events::EventsArgs, listeners::ListenersArgs, migrate::MigrateArgs,
    outbox::OutboxArgs, run::RunArgs, status::StatusArgs,
};
use crate::config::Sources;

/// Flags of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Settings of every command")]
pub(super) struct GlobalArgs {
    /// Read settings from this file [default: `TRACKED_CONFIG`, else `tracked.toml` if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Use this database: `sqlite:PATH` or `postgres://…` [default: `TRACKED_DATABASE_URL`, else `sqlite:tracked.db`]
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Use this broker [default: `TRACKED_BROKER_URL`, else `embedded:`]
    #[arg(long, global = true, value_name = "URL")]
    broker_url: Option<String>,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl GlobalArgs {
    /// Where settings come from.
    pub(super) fn sources(&self) -> Sources {
        let flags = [("database_url", &self.database_url), ("broker_url", &self.broker_url)];
        let flags = flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
        Sources { file: self.config.clone(), flags: flags.collect(), ..Sources::of_process() }
    }
}

/// The commands that every service has.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Generated {
    /// Consume and publish events until told to stop
    Run(RunArgs),
    /// Bring the database's tables up to date
    Migrate(MigrateArgs),
    /// Show what this program handles; pause and resume listeners
    Listeners(ListenersArgs),
    /// Show how much work is open
    Status(StatusArgs),
    /// Search the record, and tell one event's whole life
    Events(EventsArgs),
    /// Review dead letters and invalid events
    Dlq(DlqArgs),
    /// Review what could not be published
    Outbox(OutboxArgs),
    /// Check everything a service needs, and say what to do
    Doctor(DoctorArgs),
}
