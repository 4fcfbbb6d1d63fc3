//! The commands, one file each.

pub(super) mod dlq;
pub(super) mod doctor;
pub(super) mod events;
pub(super) mod listeners;
pub(super) mod migrate;
pub(super) mod outbox;
mod review;
pub(super) mod run;
pub(super) mod status;

use super::{args::Generated, exit::Exit, service::Service};
use crate::error::BoxError;

/// Runs a command that needs a configuration.
pub(super) async fn run(command: Generated, service: &Service) -> Result<Exit, BoxError> {
    match command {
        Generated::Run(args) => run::run(args, service).await,
        Generated::Migrate(args) => migrate::run(&args, service).await,
        Generated::Listeners(args) => listeners::run(args, service).await,
        Generated::Status(args) => status::run(&args, service).await,
        Generated::Events(args) => events::run(args, service).await,
        Generated::Dlq(args) => dlq::run(args, service).await,
        Generated::Outbox(args) => outbox::run(args, service).await,
        Generated::Doctor(args) => {
            doctor::run(args, Ok(service.config().clone()), service.setup_hook(), service.output()).await
        }
    }
}
