//! Consuming on SQLite.

mod admit;
#[macro_use]
mod delivery;
mod claim;
mod dead_letter;
mod queue;
mod rescue;
mod settle;

use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Text};

pub(super) use self::settle::settle_one;
use super::SqliteStore;
use crate::{
    clock::Timestamp,
    error::{Error, ErrorKind, Result},
    store::{
        Admission, Admitted, ClaimToken, Claimed, ConsumptionStatus, DueRequest, HeldRequest, InboxStore, LogId,
        OpenKey, PartitionScope, RescueRequest, SettleBatch,
    },
    stores::{fenced::fenced, schema::UtcTimestamp},
};

#[async_trait]
impl InboxStore for SqliteStore {
    async fn admit(&self, batch: Arc<Admission>) -> Result<Admitted> {
        let first_id = self.consumption_ids.take(&self.writer, batch.arrivals.len()).await?;
        let token = self.claim_token().await?;
        self.write(move |connection| admit::admit(connection, &batch, first_id, token)).await
    }

    async fn settle(&self, batch: Arc<SettleBatch>) -> Result<Vec<LogId>> {
        self.write(move |connection| settle::settle(connection, &batch)).await
    }

    async fn claim_due(&self, request: DueRequest) -> Result<Claimed> {
        let token = self.claim_token().await?;
        self.write(move |connection| claim::claim_due(connection, &request, token)).await
    }

    async fn claim_held(&self, request: HeldRequest) -> Result<Claimed> {
        let token = self.claim_token().await?;
        self.write(move |connection| claim::claim_held(connection, &request, token)).await
    }

    async fn open_keys(&self, group: &str, scope: &PartitionScope) -> Result<Vec<OpenKey>> {
        // What is admitted from now on comes after what another process has admitted of the same keys before.
        self.consumption_ids.renew().await;
        let (group, scope) = (group.to_owned(), scope.clone());
        self.read(move |connection| claim::open_keys(connection, &group, &scope)).await
    }

    async fn next_due_at(&self, group: &str, listeners: &[String]) -> Result<Option<Timestamp>> {
        let (group, listeners) = (group.to_owned(), listeners.to_vec());
        self.read(move |connection| claim::next_due_at(connection, &group, &listeners)).await
    }

    async fn mark_started(&self, id: LogId, token: ClaimToken) -> Result<bool> {
        self.write(move |connection| Ok(queue::start(connection, id, token)?)).await
    }

    async fn rescue(&self, request: RescueRequest) -> Result<u32> {
        self.write(move |connection| rescue::rescue(connection, &request)).await
    }

    async fn status_of(&self, id: LogId) -> Result<Option<ConsumptionStatus>> {
        let status: Option<String> = self
            .read(move |connection| {
                Ok(first!(connection, "SELECT status FROM event_consumption_log WHERE id = ?1" => Text, BigInt = id)?)
            })
            .await?;
        status.map(|word| known(&word)).transpose()
    }

    async fn paused_listeners(&self, group: &str) -> Result<Vec<String>> {
        let group = group.to_owned();
        self.read(move |connection| {
            Ok(load!(connection, "SELECT handler_name FROM listener_pause WHERE consumer_group = ?1 ORDER BY handler_name" => Text, Text = group)?)
        })
        .await
    }
}

impl SqliteStore {
    async fn claim_token(&self) -> Result<ClaimToken> {
        self.claim_tokens.take(&self.writer, 1).await.map(ClaimToken)
    }
}

/// Reads a word of a `status` or `state` column.
pub(in crate::stores::sqlite) fn known<W: std::str::FromStr<Err = String>>(word: &str) -> Result<W> {
    word.parse().map_err(|error: String| {
        Error::new(ErrorKind::Schema, "the database holds a status that this version does not know; update the program")
            .caused_by(error)
    })
}

/// Enters a claim. The range is of the rows without a row of open work; `None` when all have one.
fn insert_claim(connection: &mut diesel::sqlite::SqliteConnection, claim: &NewClaim<'_>) -> Result<()> {
    let (first, last) = claim.range.unwrap_or((1, 0));
    let entered = execute!(
        connection,
        "INSERT INTO claim (token, instance_id, consumer_group, first_id, last_id, created_at)
         SELECT ?1, id, ?3, ?4, ?5, ?6 FROM instance WHERE id = ?2",
        BigInt = claim.token.0,
        Text = claim.instance,
        Text = claim.group,
        BigInt = first,
        BigInt = last,
        UtcTimestamp = claim.now
    )?;
    if entered == 1 { Ok(()) } else { Err(fenced()) }
}

struct NewClaim<'a> {
    token: ClaimToken,
    instance: &'a str,
    group: &'a str,
    range: Option<(LogId, LogId)>,
    now: Timestamp,
}
