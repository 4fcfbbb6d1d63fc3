//! From the program's arguments to a command and an exit code.

use std::{collections::BTreeSet, path::Path, process::ExitCode, time::Duration};

use clap::{ArgMatches, Args, FromArgMatches, Subcommand};

use super::{
    args::{Generated, GlobalArgs},
    commands,
    exit::{self, Exit, UsageError},
    logging,
    output::Output,
    service::Service,
    setup::SetupHook,
};
use crate::{
    SetupFunction,
    config::Config,
    error::{BoxError, Error, ErrorKind},
};

/// How long threads that still block may take to end when the program is done.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// A service's own subcommands: derive [`clap::Subcommand`] on an enum and implement this for it.
///
/// They stand beside the generated ones in one `--help`, and share their flags: `--config`, `--database-url`,
/// `--broker-url` and `--json`. An error ends the program with an exit code that says what kind it is.
///
/// ```
/// use tracked_events::prelude::*;
///
/// #[derive(clap::Subcommand)]
/// enum Cli {
///     /// Show where the events go
///     Where,
/// }
///
/// impl Command for Cli {
///     async fn run(self, service: Service) -> Result<(), BoxError> {
///         println!("{}", tracked_events::redacted_url(&service.config().database_url));
///         Ok(())
///     }
/// }
///
/// consumer_main! { command = Cli, default = Cli::Where }
/// ```
pub trait Command: Subcommand + Send {
    /// Runs the command that was asked for.
    ///
    /// [`Service::start`] starts the service in it, [`Service::store`] opens its record without starting anything.
    fn run(self, service: Service) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// No subcommands beside the generated ones.
#[derive(Clone, Copy, Debug)]
pub enum NoCommand {}

impl Subcommand for NoCommand {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        command
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        command
    }

    fn has_subcommand(_: &str) -> bool {
        false
    }
}

impl FromArgMatches for NoCommand {
    fn from_arg_matches(_: &ArgMatches) -> Result<Self, clap::Error> {
        Err(clap::Error::new(clap::error::ErrorKind::InvalidSubcommand))
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), clap::Error> {
        match *self {}
    }
}

impl Command for NoCommand {
    async fn run(self, _: Service) -> Result<(), BoxError> {
        match self {}
    }
}

/// What `consumer_main!` is made of.
pub struct MainBuilder<C = NoCommand> {
    service: &'static str,
    version: &'static str,
    setup: SetupHook,
    default: Option<C>,
}

impl MainBuilder {
    /// A main for the service of this name and version.
    #[must_use]
    pub fn new(service: &'static str, version: &'static str) -> Self {
        Self { service, version, setup: SetupHook::none(), default: None }
    }
}

impl<C: Command> MainBuilder<C> {
    /// Calls `function` before the service starts.
    #[must_use]
    pub fn setup<F>(self, function: F) -> Self
    where
        F: for<'a> SetupFunction<'a> + Clone + Sync + 'static,
    {
        Self { setup: SetupHook::new(function), ..self }
    }

    /// Adds the service's own subcommands; `default` is the one that runs when none is named.
    #[must_use]
    pub fn command<D: Command>(self, default: Option<D>) -> MainBuilder<D> {
        MainBuilder { service: self.service, version: self.version, setup: self.setup, default }
    }

    /// Reads the arguments of the process and runs what they ask for.
    #[must_use]
    pub fn main(self) -> ExitCode {
        let outcome = self.run(std::env::args_os().collect());
        outcome.unwrap_or_else(|error| exit::report(&error)).code()
    }

    fn run(self, arguments: Vec<std::ffi::OsString>) -> Result<Exit, BoxError> {
        let program = arguments.first().and_then(|path| Path::new(path).file_name()?.to_str()).unwrap_or(self.service);
        let command = self.clap(program)?;
        let matches = match command.try_get_matches_from(arguments) {
            Ok(matches) => matches,
            Err(help_or_mistake) => {
                help_or_mistake.print()?;
                return Ok(if help_or_mistake.use_stderr() { Exit::Usage } else { Exit::Done });
            }
        };
        let asked = Asked::<C>::read(&matches, self.default)?;
        logging::set_up(asked.default_logging());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome =
            runtime.block_on(dispatch(asked, &GlobalArgs::from_arg_matches(&matches)?, self.service, self.setup));
        runtime.shutdown_timeout(STRAGGLERS);
        outcome
    }

    fn clap(&self, program: &str) -> Result<clap::Command, BoxError> {
        let names = |command: clap::Command| -> BTreeSet<String> {
            command.get_subcommands().map(|subcommand| subcommand.get_name().to_owned()).collect()
        };
        let generated = names(Generated::augment_subcommands(clap::Command::new("generated")));
        let own = names(C::augment_subcommands(clap::Command::new("own")));
        if let Some(twice) = generated.intersection(&own).next() {
            let problem =
                format!("the subcommand `{twice}` is one that every service has; give the service's own another name");
            return Err(Error::new(ErrorKind::Config, problem).into());
        }
        let command = Generated::augment_subcommands(clap::Command::new(self.service));
        let command = GlobalArgs::augment_args(C::augment_subcommands(command));
        Ok(name_in_examples(command, program)
            .version(self.version)
            .about(None::<&str>)
            .long_about(None::<&str>)
            .after_help(exit::HELP)
            .disable_help_subcommand(true)
            .subcommand_required(self.default.is_none())
            .arg_required_else_help(self.default.is_none()))
    }
}

/// Puts the program's name into the examples of every subcommand.
fn name_in_examples(mut command: clap::Command, program: &str) -> clap::Command {
    if let Some(help) = command.get_after_help().map(|help| help.to_string().replace("SERVICE", program)) {
        command = command.after_help(help);
    }
    command.mut_subcommands(|subcommand| name_in_examples(subcommand, program))
}

/// The command that was asked for.
enum Asked<C> {
    Generated(Box<Generated>),
    Own(C),
}

impl<C: Command> Asked<C> {
    fn read(matches: &ArgMatches, default: Option<C>) -> Result<Self, BoxError> {
        match (matches.subcommand_name(), default) {
            (Some(name), _) if Generated::has_subcommand(name) => {
                Ok(Self::Generated(Box::new(Generated::from_arg_matches(matches)?)))
            }
            (Some(_), _) => Ok(Self::Own(C::from_arg_matches(matches)?)),
            (None, Some(default)) => Ok(Self::Own(default)),
            (None, None) => Err(UsageError("name a command; `--help` lists them".to_owned()).into()),
        }
    }

    fn default_logging(&self) -> logging::Default {
        match self {
            Self::Generated(command) if matches!(**command, Generated::Run(_)) => logging::Default::Service,
            Self::Generated(_) => logging::Default::Command,
            Self::Own(_) => logging::Default::OwnCommand,
        }
    }
}

async fn dispatch<C: Command>(
    asked: Asked<C>,
    globals: &GlobalArgs,
    service: &'static str,
    setup: SetupHook,
) -> Result<Exit, BoxError> {
    let output = if globals.json { Output::Json } else { Output::Text };
    let loaded = Config::from_sources(service, &globals.sources());
    match asked {
        Asked::Generated(command) => match *command {
            // It says what is wrong with the configuration in its own way.
            Generated::Doctor(args) => commands::doctor::run(args, loaded, setup, output).await,
            command => Box::pin(commands::run(command, &Service::new(loaded?, setup, output))).await,
        },
        Asked::Own(command) => {
            Box::pin(command.run(Service::new(loaded?, setup, output))).await?;
            Ok(Exit::Done)
        }
    }
}
