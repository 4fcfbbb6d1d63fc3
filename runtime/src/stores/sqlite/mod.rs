//! SQLite, the embedded default.
//!
//! SQLite has one writer. So every write goes through one [`writer`], fair and in order, whose commits are shared by
//! what queues up behind them; a handler's transaction takes its turn there. Reads have connections of their own and
//! wait for nobody. Every commit is on disk when it returns (`synchronous = FULL`).
//!
//! Several processes may share a file: SQLite's own lock decides between them, and is waited for.

#[macro_use]
mod fixed;
mod connect;
mod embedded;
mod ids;
mod inbox;
mod lease;
mod outbox;
mod presence;
mod readers;
mod review;
mod transaction;
mod writer;

use diesel::sqlite::SqliteConnection;

use self::{
    connect::{Location, Scratch},
    ids::Ids,
    presence::Presence,
    readers::Readers,
    transaction::Spare,
    writer::Writer,
};
use crate::{
    clock::Clock,
    connection::Backend,
    error::Result,
    store::Store,
    stores::{StoreOptions, migrations},
};

/// An SQLite database.
pub(super) struct SqliteStore {
    writer: Writer,
    readers: Readers,
    spare: Spare,
    presence: Presence,
    consumption_ids: Ids,
    claim_tokens: Ids,
    clock: Clock,
    /// Last, so that the file goes after the connections to it.
    _scratch: Option<Scratch>,
}

impl SqliteStore {
    pub(super) async fn open(options: &StoreOptions) -> Result<Self> {
        let (location, scratch) = Location::from_url(&options.url)?;
        if scratch.is_some() {
            migrations::migrate(&format!("sqlite:{}", location.path().display())).await?;
        }
        let opening = location.clone();
        let writer = blocking(move || Writer::start(opening)).await?;
        Ok(Self {
            writer,
            readers: Readers::new(location.clone()),
            presence: Presence::beside(location.path()),
            spare: Spare::new(location),
            consumption_ids: Ids::new("consumption"),
            claim_tokens: Ids::new("claim"),
            clock: options.clock.clone(),
            _scratch: scratch,
        })
    }

    async fn write<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut SqliteConnection) -> Result<T> + Send + 'static,
    {
        self.writer.write(work).await
    }

    async fn read<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut SqliteConnection) -> Result<T> + Send + 'static,
    {
        self.readers.read(work).await
    }
}

impl Store for SqliteStore {
    fn backend(&self) -> Backend {
        Backend::Sqlite
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    use crate::error::{Error, ErrorKind};
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(Error::new(ErrorKind::Store, "an operation of the store panicked")),
        Err(_) => Err(Error::new(ErrorKind::ShuttingDown, "the runtime is shutting down")),
    }
}
