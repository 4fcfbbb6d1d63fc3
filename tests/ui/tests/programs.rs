//! Programs that `consumer_main!` accepts. They compile; the command line's own tests run them.
#![allow(dead_code, missing_docs)]

use tracked_events::{Command, Service, prelude::*};

type Program = fn() -> std::process::ExitCode;

#[derive(clap::Subcommand)]
enum Cli {
    Demo { file: Option<String> },
    Import,
}

impl Command for Cli {
    async fn run(self, _service: Service) -> Result<(), BoxError> {
        Ok(())
    }
}

mod app {
    use tracked_events::prelude::*;

    pub(super) async fn setup(app: &mut Setup) -> Result<(), BoxError> {
        app.state(7_u64);
        Ok(())
    }
}

mod smallest {
    tracked_events::consumer_main! {}

    pub(super) const MAIN: super::Program = main;
}

mod with_setup {
    tracked_events::consumer_main! { setup = crate::app::setup }

    pub(super) const MAIN: super::Program = main;
}

mod with_command {
    use tracked_events::consumer_main;

    use super::Cli;

    consumer_main! { command = Cli, }

    pub(super) const MAIN: super::Program = main;
}

mod with_everything {
    use super::{Cli, app, consumer_main};

    consumer_main! { default = Cli::Demo { file: None }, command = Cli, setup = app::setup, crate = "tracked_events" }

    pub(super) const MAIN: super::Program = main;
}

#[test]
fn a_main_reports_to_the_system() {
    let programs: [Program; 4] = [smallest::MAIN, with_setup::MAIN, with_command::MAIN, with_everything::MAIN];
    assert_eq!(programs.len(), 4);
}
