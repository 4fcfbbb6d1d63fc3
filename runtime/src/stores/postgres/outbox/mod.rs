//! Publishing on PostgreSQL.

mod embedded;
mod queue;
mod settle;
mod stage;
mod take;

use async_trait::async_trait;
use futures_util::try_join;

pub(super) use self::{embedded::Topics, stage::stage};
use super::{
    PostgresStore,
    pool::{Batch, Unit},
};
use crate::{
    clock::Timestamp,
    connection::Tx,
    error::Result,
    publish::AsyncStage,
    store::{Lease, OutboxStore, Outgoing, OutgoingResult, StagedEvent},
};

#[async_trait]
impl OutboxStore for PostgresStore {
    fn relays_at_once(&self) -> usize {
        2
    }

    async fn stage(&self, tx: &mut Tx<'_>, events: &[StagedEvent]) -> Result<()> {
        Ok(AsyncStage::insert(tx, events).await?)
    }

    async fn stage_alone(&self, events: Vec<StagedEvent>) -> Result<()> {
        let unit = Unit::on(&self.pool).await?;
        let connection = unit.connection()?;
        let events: Vec<_> = events.iter().collect();
        try_join!(connection.begin(), stage(connection, &events))?;
        unit.commit().await
    }

    async fn take_outgoing(&self, leases: &[Lease], limit: u32, now: Timestamp) -> Result<Vec<Outgoing>> {
        take::take(self, leases, limit, now).await
    }

    async fn settle_outgoing(&self, leases: &[Lease], results: Vec<OutgoingResult>, now: Timestamp) -> Result<()> {
        settle::settle(self, leases, &results, now).await
    }

    async fn publish_embedded(&self, leases: &[Lease], limit: u32, partitions: u32, now: Timestamp) -> Result<u32> {
        embedded::publish(self, leases, limit, partitions, now).await
    }

    async fn recover_outgoing(&self, leases: &[Lease], now: Timestamp) -> Result<u32> {
        settle::recover(self, leases, now).await
    }

    async fn next_outgoing_at(&self, leases: &[Lease]) -> Result<Option<Timestamp>> {
        queue::next_due_at(self, leases).await
    }
}
