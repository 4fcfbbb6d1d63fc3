//! What a run of a benchmark is told on its command line.

use clap::{Parser, ValueEnum};

/// What to measure. Without `--bench`, which `cargo bench` adds, one small round shows that it still works.
#[derive(Parser, Debug)]
pub(crate) struct Args {
    /// Only these databases.
    #[arg(long, value_delimiter = ',')]
    pub(crate) backend: Vec<String>,
    /// Only these kinds of listeners.
    #[arg(long, value_delimiter = ',')]
    pub(crate) mode: Vec<Mode>,
    /// How many events a round takes.
    #[arg(long)]
    events: Option<usize>,
    /// How many rounds each side runs.
    #[arg(long)]
    rounds: Option<usize>,
    /// Measure only one side, for a profiler.
    #[arg(long)]
    pub(crate) only: Option<Side>,
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(hide = true)]
    _filter: Vec<String>,
}

/// Kinds of listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// An `async` handler; its end is written with those of others.
    Batched,
    /// The same, one event of a key at a time.
    Ordered,
    /// A handler with a connection: its transaction is its own.
    Transactional,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Batched, Self::Ordered, Self::Transactional];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Batched => "batched",
            Self::Ordered => "ordered",
            Self::Transactional => "transactional",
        }
    }
}

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// The hand-written loop.
    Limit,
    /// The library.
    Framework,
}

impl Args {
    pub(crate) fn wants_backend(&self, name: &str) -> bool {
        self.backend.is_empty() || self.backend.iter().any(|wanted| wanted == name)
    }

    pub(crate) fn modes(&self) -> Vec<Mode> {
        if self.mode.is_empty() { Mode::ALL.to_vec() } else { self.mode.clone() }
    }

    pub(crate) fn sides(&self) -> Vec<Side> {
        self.only.map_or_else(|| vec![Side::Limit, Side::Framework], |side| vec![side])
    }

    /// Events of a round; `measured` unless the command line says otherwise.
    pub(crate) fn events(&self, measured: usize) -> usize {
        self.events.unwrap_or(if self.bench { measured } else { 1_000 })
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.bench { 5 } else { 1 }).max(1)
    }
}
