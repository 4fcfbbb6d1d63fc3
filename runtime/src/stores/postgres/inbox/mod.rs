//! Consuming on PostgreSQL.

#[macro_use]
mod delivery;

mod admit;
mod attempt;
mod change;
mod claim;
mod queue;
mod rescue;
mod settle;

use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Text};

pub(super) use self::{admit::Unwanted, settle::settle_one};
use super::{PostgresStore, pool::checkout, statement::Statement};
use crate::{
    clock::Timestamp,
    error::{Error, ErrorKind, Result},
    store::{
        Admission, Admitted, ClaimToken, Claimed, ConsumptionStatus, DueRequest, HeldRequest, InboxStore, LogId,
        OpenKey, PartitionScope, RescueRequest, SettleBatch,
    },
};

#[async_trait]
impl InboxStore for PostgresStore {
    async fn admit(&self, batch: Arc<Admission>) -> Result<Admitted> {
        admit::admit(self, &batch).await
    }

    async fn settle(&self, batch: Arc<SettleBatch>) -> Result<Vec<LogId>> {
        settle::settle(self, &batch).await
    }

    async fn claim_due(&self, request: DueRequest) -> Result<Claimed> {
        claim::claim_due(self, &request).await
    }

    async fn claim_held(&self, request: HeldRequest) -> Result<Claimed> {
        claim::claim_held(self, &request).await
    }

    async fn open_keys(&self, group: &str, scope: &PartitionScope) -> Result<Vec<OpenKey>> {
        claim::open_keys(self, group, scope).await
    }

    async fn next_due_at(&self, group: &str, listeners: &[String]) -> Result<Option<Timestamp>> {
        claim::next_due_at(self, group, listeners).await
    }

    async fn mark_started(&self, id: LogId, token: ClaimToken) -> Result<bool> {
        let connection = checkout(&self.pool).await?;
        Ok(queue::start(&connection, id, token).await?)
    }

    async fn rescue(&self, request: RescueRequest) -> Result<u32> {
        rescue::rescue(self, &request).await
    }

    async fn status_of(&self, id: LogId) -> Result<Option<ConsumptionStatus>> {
        let connection = checkout(&self.pool).await?;
        let status: Vec<String> = Statement::<Text>::new("SELECT status FROM event_consumption_log WHERE id = $1")
            .bind::<BigInt, _>(id)
            .rows(&connection)
            .await?;
        status.first().map(|word| known(word)).transpose()
    }

    async fn paused_listeners(&self, group: &str) -> Result<Vec<String>> {
        let sql = "SELECT handler_name FROM listener_pause WHERE consumer_group = $1 ORDER BY handler_name";
        let connection = checkout(&self.pool).await?;
        Ok(Statement::<Text>::new(sql).bind::<Text, _>(group).rows(&connection).await?)
    }
}

impl PostgresStore {
    async fn claim_token(&self) -> Result<ClaimToken> {
        self.claim_tokens.take(&self.pool, 1).await.map(ClaimToken)
    }
}

/// Reads a word of a `status` or `state` column.
pub(super) fn known<W: std::str::FromStr<Err = String>>(word: &str) -> Result<W> {
    word.parse().map_err(|error: String| {
        Error::new(ErrorKind::Schema, "the database holds a status that this version does not know; update the program")
            .caused_by(error)
    })
}
