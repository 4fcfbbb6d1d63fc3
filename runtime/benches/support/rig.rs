//! What a backend brings to the benchmarks: databases to work on, and the limit.

use std::time::Duration;

use async_trait::async_trait;
use tracked_events::BoxError;

use super::{args::Mode, backlog::Backlog};

pub(crate) type Result<T, E = BoxError> = std::result::Result<T, E>;

/// A backend: a database, and in time a broker beside it.
#[async_trait]
pub(crate) trait Rig: Send {
    fn name(&self) -> &'static str;

    /// Makes the database that every round gets a copy of.
    async fn fill(&mut self, backlog: &Backlog) -> Result<()>;

    /// A fresh copy, and the URL under which the library opens it.
    async fn fresh(&mut self) -> Result<String>;

    /// Consumes the backlog with the best loop that could be written by hand.
    async fn consume(&self, url: &str, mode: Mode, events: usize) -> Result<Duration>;

    /// Relays the backlog with the best loop that could be written by hand.
    async fn publish(&self, url: &str, events: usize) -> Result<Duration>;

    /// What the record says, cheap enough to be asked every few milliseconds.
    async fn progress(&self, url: &str) -> Result<Progress>;

    /// What the record says in the end.
    async fn tally(&self, url: &str) -> Result<Tally>;

    /// Leaves nothing behind.
    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// How far the work is.
pub(crate) struct Progress {
    /// Claims that are not settled to the last row.
    pub(crate) open_claims: i64,
    /// Offsets given out by the embedded broker.
    pub(crate) published: i64,
}

/// Rows of the record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) processed: usize,
    pub(crate) succeeded_attempts: usize,
    pub(crate) keys: usize,
    pub(crate) published: usize,
    pub(crate) left_in_outbox: usize,
}

impl Tally {
    pub(crate) fn consumed(events: usize) -> Self {
        Self { processed: events, succeeded_attempts: events, keys: events, published: events, left_in_outbox: 0 }
    }

    pub(crate) fn relayed(events: usize) -> Self {
        Self { published: events, ..Self::default() }
    }

    pub(crate) fn check(&self, expected: &Self) -> Result<()> {
        if self == expected { Ok(()) } else { Err(format!("expected {expected:?}, the record says {self:?}").into()) }
    }
}
