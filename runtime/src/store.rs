//! The contract of a database: what publishing, consuming, reviewing and maintaining ask of it.
//!
//! One trait for each caller, implemented once for each database in [`stores`](crate::stores), and checked by one
//! conformance suite on all of them. Invariants that every implementation keeps:
//!
//! - **One method, one transaction.** It happens whole or not at all. Methods must be run to their end: callers
//!   spawn them and never drop the future half-way.
//! - **No claim, no change.** Work that is claimed changes only together with a check that the claim row (inbox) or
//!   the lease (outbox, partitions) still stands; otherwise the change is reported as stale and not made.
//! - **Transitions only from the table** in `docs/lifecycle.md`: every update is guarded by the status it starts from.
//! - **Time is the caller's**: methods take `now` and never ask the database for it, except [`InstanceStore::now`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::Serialize;

use crate::{
    clock::Timestamp,
    connection::{Backend, SyncTx, Tx},
    envelope::Envelope,
    error::Result,
};

mod embedded;
mod inbox;
mod outbox;
mod review;
mod work;

pub use embedded::*;
pub use inbox::*;
pub use outbox::*;
pub use review::*;
pub use work::*;

/// The id of a row of a log.
pub type LogId = i64;

/// Names one claim of work; no token is ever used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ClaimToken(pub i64);

/// A database, whole.
pub trait Store:
    OutboxStore + InboxStore + ReviewStore + InstanceStore + LeaseStore + TransactionStore + EmbeddedStore + 'static
{
    /// Which database it is.
    fn backend(&self) -> Backend;
}

/// Transactions in which handlers and publishers write beside the library.
#[async_trait]
pub trait TransactionStore: Send + Sync {
    /// Opens a transaction for a handler or a publisher.
    ///
    /// Dropping it without [`commit`](OpenTransaction::commit) rolls it back, cancels what the server still runs for
    /// it, and discards the connection if its state is not known.
    ///
    /// # Errors
    /// When no connection can be had.
    async fn begin(&self) -> Result<Box<dyn OpenTransaction>>;
}

/// An open transaction.
#[async_trait]
pub trait OpenTransaction: Send {
    /// The connection to write on.
    fn tx(&mut self) -> Tx<'_>;

    /// Runs `work` with the connection as a synchronous one, on a thread where it may block.
    ///
    /// # Errors
    /// When the database has no synchronous connection, or `work` panicked.
    async fn run_blocking(&mut self, work: BlockingWork) -> Result<()>;

    /// Settles a delivery within the transaction. `false` when its claim is gone: the caller rolls back.
    ///
    /// # Errors
    /// When the database refuses.
    async fn settle(&mut self, settlement: &Settlement, instance: &str) -> Result<bool>;

    /// Commits.
    ///
    /// # Errors
    /// When the commit failed, or its outcome is not known; [`InboxStore::status_of`] tells which.
    async fn commit(self: Box<Self>) -> Result<()>;

    /// Rolls back and gives the connection back.
    ///
    /// # Errors
    /// When the database is gone; the transaction is rolled back all the same.
    async fn rollback(self: Box<Self>) -> Result<()>;
}

/// Work for [`OpenTransaction::run_blocking`].
pub type BlockingWork = Box<dyn for<'a> FnOnce(&mut SyncTx<'a>) + Send>;

/// Instances and their beats.
#[async_trait]
pub trait InstanceStore: Send + Sync {
    /// The database's clock.
    async fn now(&self) -> Result<Timestamp>;

    /// Enters an instance. One that has the same service and name is replaced, and its id returned: it is fenced
    /// from now on. Its claims and leases stay until it was rescued and removed.
    async fn register(&self, instance: NewInstance) -> Result<Option<String>>;

    /// Raises the instance's beat. `false` when it was fenced: it must stop.
    async fn beat(&self, instance: &str, now: Timestamp) -> Result<bool>;

    /// Every instance and its beat; also one that is not entered and has claims or leases all the same: it was fenced
    /// and its work was not taken over yet. That one never beats.
    async fn instances(&self) -> Result<Vec<InstanceBeat>>;

    /// Removes an instance with its memberships and frees its leases. Its claims stay, for [`InboxStore::rescue`].
    async fn remove_instance(&self, instance: &str, now: Timestamp) -> Result<()>;
}

/// Resources that one instance at a time may own.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Declares that `instance` wants a share of the leases of `scope`, and returns all who do, sorted.
    async fn join(&self, scope: &str, instance: &str, now: Timestamp) -> Result<Vec<String>>;

    /// Declares that `instance` wants no share of the leases of `scope` any more. Those that it holds stay its own.
    async fn leave(&self, scope: &str, instance: &str) -> Result<()>;

    /// Takes those of `resources` that are free or already its own, and returns all that `instance` now holds of
    /// them, each with the token to name in every act under it.
    async fn acquire(&self, resources: &[String], instance: &str, now: Timestamp) -> Result<Vec<Lease>>;

    /// Frees leases that `instance` holds; others are left alone.
    async fn release(&self, resources: &[String], instance: &str, now: Timestamp) -> Result<()>;
}

/// An instance that enters.
#[derive(Clone, Debug)]
pub struct NewInstance {
    /// Its id, new at every start.
    pub id: String,
    /// Its stable name.
    pub name: String,
    /// The service.
    pub service: String,
    /// How long it may be silent before its work is taken over.
    pub lease: Duration,
    /// When it started.
    pub started_at: Timestamp,
}

/// An instance and how often it has beaten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceBeat {
    /// Its id.
    pub id: String,
    /// Its stable name.
    pub name: String,
    /// The service.
    pub service: String,
    /// How long it may be silent before its work is taken over; not known of one that is not entered.
    pub lease: Option<Duration>,
    /// Raised at each renewal; a lease is over when an observer saw no change for its whole length.
    pub beat: i64,
    /// Whether its process is known to have ended: its work can be taken over at once.
    pub is_gone: bool,
    /// When it started.
    pub started_at: Timestamp,
    /// When it last beat, on the database's clock; for people only.
    pub last_beat_at: Timestamp,
}

/// A resource that an instance holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The resource.
    pub resource: String,
    /// Changes whenever the holder does.
    pub token: i64,
}

/// Anything that holds a store.
pub type SharedStore = Arc<dyn Store>;

/// An envelope that several deliveries share.
pub type SharedEnvelope = Arc<Envelope>;
