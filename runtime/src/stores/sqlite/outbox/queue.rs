//! Which rows of the outbox may go out.

use std::collections::HashSet;

use diesel::{
    QueryResult,
    connection::DefaultLoadingMode,
    sql_types::{BigInt, Integer, Nullable, Text},
    sqlite::SqliteConnection,
};

use crate::{
    clock::Timestamp,
    error::Result,
    store::{Lease, LogId, OUTBOX_SHARDS, outbox_shard},
    stores::schema::UtcTimestamp,
};

/// A set of shards, as bits: SQL asks `(set >> shard) & 1`.
#[derive(Clone, Copy, Default)]
pub(super) struct Shards(i64);

impl Shards {
    /// Those whose leases still stand.
    pub(super) fn standing(connection: &mut SqliteConnection, leases: &[Lease]) -> QueryResult<Self> {
        let mut shards = Self::default();
        for lease in leases {
            let Some(shard) = outbox_shard(&lease.resource) else { continue };
            let standing: Option<i32> = first!(
                connection,
                "SELECT 1 FROM lease WHERE resource = ?1 AND token = ?2 AND instance_id IS NOT NULL" => Integer,
                Text = lease.resource.as_str(),
                BigInt = lease.token
            )?;
            if standing.is_some() {
                shards.0 |= 1 << shard;
            }
        }
        Ok(shards)
    }

    pub(super) fn bits(self) -> i64 {
        self.0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn has(self, shard: i32) -> bool {
        (0..OUTBOX_SHARDS).contains(&shard) && (self.0 >> shard) & 1 == 1
    }
}

/// A row that may go out.
pub(super) struct Due {
    pub(super) id: LogId,
    pub(super) shard: i32,
    pub(super) topic: String,
    pub(super) key_hash: Option<i64>,
    pub(super) event_id: String,
}

/// The rows that may go out now, in the order of their ids. Of a key with an earlier row that is under way or waits for
/// its retry, none.
pub(super) fn due(
    connection: &mut SqliteConnection,
    shards: Shards,
    limit: u32,
    now: Timestamp,
) -> QueryResult<Vec<Due>> {
    type Row = (LogId, i32, String, Option<i64>, String, bool);
    let query = fixed!(
        "SELECT q.production_id, q.shard, q.topic, q.key_hash, p.event_id,
             p.status IN ('PENDING', 'FAILED') AND q.due_at <= ?2
         FROM outbox_queue q JOIN event_production_log p ON p.id = q.production_id
         WHERE q.state <> 'review' AND (?1 >> q.shard) & 1
         ORDER BY q.production_id",
        (BigInt, Integer, Text, Nullable<BigInt>, Text, diesel::sql_types::Bool),
        BigInt = shards.bits(),
        UtcTimestamp = now
    );
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut held: HashSet<(String, i64)> = HashSet::new();
    let mut found = Vec::new();
    for row in diesel::RunQueryDsl::load_iter::<Row, DefaultLoadingMode>(query, connection)? {
        if found.len() >= limit {
            break;
        }
        let (id, shard, topic, key_hash, event_id, free) = row?;
        match key_hash {
            Some(hash) if !free => drop(held.insert((topic, hash))),
            Some(hash) if !held.is_empty() && held.contains(&(topic.clone(), hash)) => {}
            _ if free => found.push(Due { id, shard, topic, key_hash, event_id }),
            _ => {}
        }
    }
    Ok(found)
}

/// When the next row can go out; rows that are under way or held do not count.
pub(super) fn next_due_at(connection: &mut SqliteConnection, leases: &[Lease]) -> Result<Option<Timestamp>> {
    let mut earliest = None;
    for shard in leases.iter().filter_map(|lease| outbox_shard(&lease.resource)) {
        let due_at: Option<Timestamp> = first!(
            connection,
            "SELECT q.due_at FROM outbox_queue q
             WHERE q.shard = ?1 AND q.state <> 'review'
                 AND NOT EXISTS (
                     SELECT 1 FROM outbox_queue f
                     WHERE f.topic = q.topic AND f.key_hash = q.key_hash AND f.state = 'failed'
                         AND f.production_id < q.production_id)
                 AND (SELECT status FROM event_production_log WHERE id = q.production_id) <> 'PUBLISHING'
             ORDER BY q.due_at LIMIT 1" => UtcTimestamp,
            Integer = shard
        )?;
        earliest = [earliest, due_at].into_iter().flatten().min();
    }
    Ok(earliest)
}
