//! Taking rows to send.

use std::collections::HashMap;

use diesel::{
    QueryResult, Queryable,
    sql_types::{Array, BigInt, Binary, Integer, Nullable, Text},
};
use diesel_async::AsyncPgConnection;
use futures_util::try_join;

use super::queue::{self, UnderWay};
use crate::{
    clock::Timestamp,
    envelope::{Envelope, IdSource, headers_from_json},
    error::Result,
    store::{EventKind, Lease, LogId, Outgoing},
    stores::{
        postgres::{
            PostgresStore,
            inbox::known,
            lease,
            pool::{Batch, Retries, Unit},
            statement::Statement,
        },
        schema::UtcTimestamp,
    },
};

pub(super) async fn take(store: &PostgresStore, leases: &[Lease], limit: u32, now: Timestamp) -> Result<Vec<Outgoing>> {
    let mut retries = Retries::new();
    loop {
        match attempt(store, leases, limit, now).await {
            Err(error) if retries.again(&error).await => {}
            result => return result,
        }
    }
}

async fn attempt(store: &PostgresStore, leases: &[Lease], limit: u32, now: Timestamp) -> Result<Vec<Outgoing>> {
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    let ((), shards) = try_join!(connection.begin(), lease::standing(connection, leases))?;
    let due = if shards.is_empty() {
        Vec::new()
    } else {
        queue::due(connection, &shards, UnderWay::Perhaps, limit, now).await?
    };
    if due.is_empty() {
        unit.rollback().await?;
        return Ok(Vec::new());
    }
    let shards: HashMap<_, _> = due.into_iter().map(|row| (row.id, row.shard)).collect();
    let rows = mark(connection, &shards, now).await?;
    unit.commit().await?;
    let outgoing = |row: TakenRow| {
        let shard = shards.get(&row.id).copied().unwrap_or(0);
        row.into_outgoing(shard)
    };
    let mut taken = rows.into_iter().map(outgoing).collect::<Result<Vec<_>>>()?;
    taken.sort_unstable_by_key(|row| row.id);
    Ok(taken)
}

/// Writes the rows PUBLISHING, and reads them.
async fn mark(
    connection: &AsyncPgConnection,
    shards: &HashMap<LogId, i32>,
    now: Timestamp,
) -> QueryResult<Vec<TakenRow>> {
    let sql = "\
        UPDATE event_production_log SET status = 'PUBLISHING', updated_at = $4
        WHERE id = ANY ($1) AND id BETWEEN $2 AND $3 AND status IN ('PENDING', 'FAILED')
        RETURNING id, event_id, topic, event_key, event_type, payload, retry_count, max_retries, correlation_id,
            created_at, causation_id, content_type, headers, traceparent, kind";
    let mut ids: Vec<_> = shards.keys().copied().collect();
    ids.sort_unstable();
    Statement::<TakenSql>::new(sql)
        .bind::<Array<BigInt>, _>(ids.as_slice())
        .bounds(&ids)
        .bind::<UtcTimestamp, _>(now)
        .rows(connection)
        .await
}

type TakenSql = (
    BigInt,
    Text,
    Text,
    Nullable<Binary>,
    Text,
    Nullable<Binary>,
    Integer,
    Integer,
    Nullable<Text>,
    UtcTimestamp,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Text,
);

#[derive(Queryable)]
struct TakenRow {
    id: LogId,
    event_id: String,
    topic: String,
    key: Option<Vec<u8>>,
    event_type: String,
    payload: Option<Vec<u8>>,
    retry_count: i32,
    max_retries: i32,
    correlation_id: Option<String>,
    created_at: Timestamp,
    causation_id: Option<String>,
    content_type: Option<String>,
    headers: Option<String>,
    traceparent: Option<String>,
    kind: String,
}

impl TakenRow {
    fn into_outgoing(self, shard: i32) -> Result<Outgoing> {
        let kind: EventKind = known(&self.kind)?;
        let envelope = Envelope {
            event_id: self.event_id,
            id_source: IdSource::Publisher,
            event_type: Some(self.event_type),
            payload: self.payload,
            key: self.key,
            content_type: self.content_type,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            traceparent: self.traceparent,
            headers: headers_from_json(self.headers.as_deref()),
        };
        Ok(Outgoing {
            id: self.id,
            shard,
            topic: self.topic,
            envelope,
            kind,
            retry_count: u32::try_from(self.retry_count).unwrap_or(0),
            max_retries: u32::try_from(self.max_retries).unwrap_or(0),
            created_at: self.created_at,
        })
    }
}
