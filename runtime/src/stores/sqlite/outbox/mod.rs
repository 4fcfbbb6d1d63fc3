//! Publishing on SQLite.

mod embedded;
mod queue;
mod settle;
mod take;

use async_trait::async_trait;

use super::SqliteStore;
use crate::{
    clock::Timestamp,
    connection::Tx,
    error::Result,
    publish::{AsyncStage, SyncStage},
    store::{Lease, OutboxStore, Outgoing, OutgoingResult, StagedEvent},
};

#[async_trait]
impl OutboxStore for SqliteStore {
    async fn stage(&self, tx: &mut Tx<'_>, events: &[StagedEvent]) -> Result<()> {
        // One trip to the blocking threads, however many events.
        if let Tx::Sqlite(connection) = tx {
            let events = events.to_vec();
            connection.spawn_blocking(move |connection| SyncStage::insert(connection, &events)).await?;
            return Ok(());
        }
        Ok(AsyncStage::insert(tx, events).await?)
    }

    async fn stage_alone(&self, events: Vec<StagedEvent>) -> Result<()> {
        self.write(move |connection| Ok(SyncStage::insert(connection, &events)?)).await
    }

    async fn take_outgoing(&self, leases: &[Lease], limit: u32, now: Timestamp) -> Result<Vec<Outgoing>> {
        let leases = leases.to_vec();
        self.write(move |connection| take::take(connection, &leases, limit, now)).await
    }

    async fn settle_outgoing(&self, leases: &[Lease], results: Vec<OutgoingResult>, now: Timestamp) -> Result<()> {
        let leases = leases.to_vec();
        self.write(move |connection| settle::settle(connection, &leases, &results, now)).await
    }

    async fn publish_embedded(&self, leases: &[Lease], limit: u32, partitions: u32, now: Timestamp) -> Result<u32> {
        let leases = leases.to_vec();
        self.write(move |connection| embedded::publish(connection, &leases, limit, partitions, now)).await
    }

    async fn recover_outgoing(&self, leases: &[Lease], now: Timestamp) -> Result<u32> {
        let leases = leases.to_vec();
        self.write(move |connection| settle::recover(connection, &leases, now)).await
    }

    async fn next_outgoing_at(&self, leases: &[Lease]) -> Result<Option<Timestamp>> {
        let leases = leases.to_vec();
        self.read(move |connection| queue::next_due_at(connection, &leases)).await
    }
}
