//! What a command's end tells the script that called it.

use std::{error::Error as StdError, fmt, io, process::ExitCode};

use crate::error::{BoxError, ConfigError, Error, ErrorKind};

/// Where log lines go and what the exit codes mean, as `--help` shows it.
pub(super) const HELP: &str = "\
Log lines go to standard error: `RUST_LOG` chooses which, `TRACKED_LOG=json` makes them JSON.

Exit codes:
  0  done
  1  failed
  2  the command line is wrong
  3  nothing was found, or nothing matched
  4  configuration or schema is wrong; see `doctor`
  5  the database or the broker cannot be reached; try again later";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// The command line is wrong.
    Usage,
    /// Nothing was found, or nothing matched.
    NothingFound,
    /// Configuration or schema is wrong.
    Setup,
    /// The database or the broker cannot be reached.
    Unavailable,
}

impl Exit {
    /// The number that the process ends with.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NothingFound => 3,
            Self::Setup => 4,
            Self::Unavailable => 5,
        })
    }

    /// How a command ended that returned `error`.
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        if let Some(error) = error.downcast_ref::<Error>() {
            return match error.kind() {
                ErrorKind::Config | ErrorKind::Schema => Self::Setup,
                ErrorKind::NotFound => Self::NothingFound,
                ErrorKind::StoreUnavailable | ErrorKind::Broker => Self::Unavailable,
                _ => Self::Failed,
            };
        }
        if error.is::<UsageError>() {
            Self::Usage
        } else if error.is::<ConfigError>() {
            Self::Setup
        } else {
            Self::Failed
        }
    }
}

/// The command line parses, and still asks for something that cannot be.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for UsageError {}

/// Prints an error with its causes, each once, and tells how the process ends.
pub(super) fn report(error: &BoxError) -> Exit {
    if is_closed_pipe(error.as_ref()) {
        return Exit::Done;
    }
    print_to_stderr(&describe(error.as_ref()));
    Exit::of(error.as_ref())
}

/// Whoever read our output, such as `head`, has seen enough.
fn is_closed_pipe(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn describe(error: &(dyn StdError + 'static)) -> String {
    let mut text = format!("error: {error}\n");
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !said.ends_with(&cause_text) {
            text.push_str(&format!("  caused by: {}\n", cause_text.replace('\n', "\n  ")));
            said = cause_text;
        }
        next = cause.source();
    }
    text
}

#[allow(clippy::print_stderr, reason = "this is where the program tells people what went wrong")]
fn print_to_stderr(text: &str) {
    eprint!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_and_its_causes_are_printed_once_each() {
        let mut problems = ConfigError::default();
        problems.push("tracked.toml:1: one");
        problems.push("tracked.toml:2: two");
        let error = Error::from(problems);
        assert_eq!(
            describe(&error),
            "error: the service cannot start\n  caused by: 2 problems:\n    - tracked.toml:1: one\n    - tracked.toml:2: two\n"
        );
        assert_eq!(Exit::of(&error), Exit::Setup);
    }
}
