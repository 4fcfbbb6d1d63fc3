//! A week of departures from New York, published and consumed on record.

use tracked_events::{Command, Service, Setup, prelude::*};

mod demo;
mod events;
mod import;
mod listeners;
mod mail;
mod schema;
mod summary;
mod timetable;

/// The service's own command, beside the generated ones.
#[derive(Debug, clap::Subcommand)]
enum Cli {
    /// Import a file of flights, and handle what happened to them
    Demo(demo::Demo),
}

impl Command for Cli {
    async fn run(self, service: Service) -> Result<(), BoxError> {
        match self {
            Self::Demo(demo) => demo.run(&service).await,
        }
    }
}

consumer_main! { setup = setup, command = Cli, default = Cli::Demo(demo::Demo::default()) }

/// Creates the service's own tables, and connects its mail service.
async fn setup(app: &mut Setup) -> Result<(), BoxError> {
    schema::create(app.store()).await?;
    app.state(mail::MailService);
    Ok(())
}
