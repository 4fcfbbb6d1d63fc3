//! Taking rows to send.

use diesel::{
    Queryable,
    sql_types::{BigInt, Binary, Integer, Nullable, Text},
    sqlite::SqliteConnection,
};

use super::queue::{self, Shards};
use crate::{
    clock::Timestamp,
    envelope::{Envelope, IdSource, headers_from_json},
    error::Result,
    store::{EventKind, Lease, LogId, Outgoing},
    stores::{schema::UtcTimestamp, sqlite::inbox::known},
};

pub(super) fn take(
    connection: &mut SqliteConnection,
    leases: &[Lease],
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Outgoing>> {
    let shards = Shards::standing(connection, leases)?;
    if shards.is_empty() {
        return Ok(Vec::new());
    }
    let mut taken = Vec::new();
    for due in queue::due(connection, shards, limit, now)? {
        let row: Option<TakenRow> = first!(
            connection,
            "SELECT id, event_id, topic, event_key, event_type, payload, retry_count, max_retries, correlation_id,
                 created_at, causation_id, content_type, headers, traceparent, kind
             FROM event_production_log WHERE id = ?1 AND status IN ('PENDING', 'FAILED')" => TakenSql,
            BigInt = due.id
        )?;
        let Some(row) = row else { continue };
        execute!(
            connection,
            "UPDATE event_production_log SET status = 'PUBLISHING', updated_at = ?2 WHERE id = ?1",
            BigInt = due.id,
            UtcTimestamp = now
        )?;
        taken.push(row.into_outgoing(due.shard)?);
    }
    Ok(taken)
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
