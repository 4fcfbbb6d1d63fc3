//! PostgreSQL.
//!
//! Work comes in batches, so statements do too: a batch is a handful of static statements over arrays, sent together,
//! and one answer decides whether they can be committed. Two pools of connections: what the library does itself never
//! waits for a handler's transaction.
//!
//! Transactions are READ COMMITTED. Where two could want the same rows they lock them in one order; what loses all the
//! same is run again here.

mod address;
mod columns;
mod connect;
mod embedded;
mod ids;
mod inbox;
mod lease;
mod outbox;
mod pool;
mod review;
mod statement;
mod transaction;

use deadpool::managed::Pool;

pub(crate) use self::connect::{Use, connect};
use self::{address::Address, connect::connect_to, ids::Ids, inbox::Unwanted, outbox::Topics, pool::Connections};
use crate::{clock::Clock, connection::Backend, error::Result, store::Store, stores::StoreOptions};

/// Connections for the store's own operations. A consumer needs one to admit and one to settle at a time, the relay
/// two, and leases are renewed beside them.
const OWN_CONNECTIONS: usize = 8;

/// A PostgreSQL database.
pub(super) struct PostgresStore {
    pool: Pool<Connections>,
    handlers: Pool<Connections>,
    consumption_ids: Ids,
    claim_tokens: Ids,
    unwanted: Unwanted,
    topics: Topics,
    clock: Clock,
}

impl PostgresStore {
    pub(super) async fn open(options: &StoreOptions) -> Result<Self> {
        let max_connections = usize::try_from(options.max_connections).unwrap_or(usize::MAX).max(1);
        let address = Address::parse(&options.url)?;
        // What is wrong with it is told now and not at the first event.
        drop(connect_to(&address, Use::Store).await?);
        let store = Self {
            pool: Connections::pool(&address, Use::Store, OWN_CONNECTIONS)?,
            handlers: Connections::pool(&address, Use::Handler, max_connections)?,
            consumption_ids: Ids::new("consumption"),
            claim_tokens: Ids::new("claim"),
            unwanted: Unwanted::default(),
            topics: Topics::default(),
            clock: options.clock.clone(),
        };
        Ok(store)
    }
}

impl Store for PostgresStore {
    fn backend(&self) -> Backend {
        Backend::Postgres
    }
}
