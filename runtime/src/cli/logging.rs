//! Log lines of the generated main: on standard error, filtered by `RUST_LOG`, as JSON with `TRACKED_LOG=json`.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

/// What is logged when `RUST_LOG` does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// The service runs: what it does.
    Service,
    /// A command prints its answer: only what goes wrong.
    Command,
    /// A command of the service's own, which says itself what goes wrong: only what is lost otherwise.
    OwnCommand,
}

/// Sets up logging, unless the program has done so already.
pub(super) fn set_up(default: Default) {
    let level = match default {
        Default::Service => "info",
        Default::Command => "warn",
        Default::OwnCommand => "error",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = fmt().with_env_filter(filter).with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let as_json = std::env::var_os("TRACKED_LOG").is_some_and(|form| form == "json");
    // An error says that there is a subscriber already: the program's own.
    let _ = if as_json { lines.json().try_init() } else { lines.with_target(false).try_init() };
}
