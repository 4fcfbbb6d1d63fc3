//! Rows of the outbox that may go out.

use std::collections::HashSet;

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text},
};
use diesel_async::AsyncPgConnection;

use crate::{
    clock::Timestamp,
    error::Result,
    store::{Lease, LogId, outbox_shard},
    stores::{
        postgres::{PostgresStore, pool::checkout, statement::Statement},
        schema::UtcTimestamp,
    },
};

/// A row that may go out.
pub(super) struct Due {
    pub(super) id: LogId,
    pub(super) shard: i32,
    pub(super) topic: String,
    pub(super) key_hash: Option<i64>,
    /// Of rows without a key.
    pub(super) event_id: Option<String>,
}

/// Rows of these shards in the order of their ids, with whether each is free to go: not under way, and due. The log is
/// looked into row by row: joined, it would be read from its beginning.
const PAGE_WITH_STATUS: &str = "\
SELECT q.production_id, q.shard, q.topic, q.key_hash, CASE WHEN q.key_hash IS NULL THEN p.event_id END,
    p.status IN ('PENDING', 'FAILED') AND q.due_at <= $2
FROM outbox_queue q, LATERAL (SELECT event_id, status FROM event_production_log WHERE id = q.production_id LIMIT 1) p
WHERE q.shard = ANY ($1) AND q.state <> 'review' AND q.production_id > $3
ORDER BY q.production_id
LIMIT $4";

/// The same, for whoever knows that none is under way, without a look into the log for rows with a key.
const PAGE: &str = "\
SELECT q.production_id, q.shard, q.topic, q.key_hash, p.event_id, q.due_at <= $2
FROM outbox_queue q
LEFT JOIN LATERAL (
    SELECT event_id FROM event_production_log WHERE id = q.production_id AND q.key_hash IS NULL LIMIT 1) p ON true
WHERE q.shard = ANY ($1) AND q.state <> 'review' AND q.production_id > $3
ORDER BY q.production_id
LIMIT $4";

/// Whether rows of the shards may be under way: taken and not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnderWay {
    Perhaps,
    None,
}

type Row = (LogId, i32, String, Option<i64>, Option<String>, bool);

/// The rows that may go out now, in the order of their ids. Of a key with an earlier row that is under way or waits for
/// its retry, none.
pub(super) async fn due(
    connection: &AsyncPgConnection,
    shards: &[i32],
    under_way: UnderWay,
    limit: u32,
    now: Timestamp,
) -> QueryResult<Vec<Due>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut held: HashSet<(String, i64)> = HashSet::new();
    let mut found = Vec::new();
    let mut after = 0;
    while found.len() < limit {
        let room = limit - found.len();
        let page = page(connection, shards, under_way, room, now, after).await?;
        let is_last = page.len() < room;
        for (id, shard, topic, key_hash, event_id, free) in page {
            after = id;
            match key_hash {
                Some(hash) if !free => drop(held.insert((topic, hash))),
                Some(hash) if !held.is_empty() && held.contains(&(topic.clone(), hash)) => {}
                _ if free => found.push(Due { id, shard, topic, key_hash, event_id }),
                _ => {}
            }
        }
        if is_last {
            break;
        }
    }
    Ok(found)
}

async fn page(
    connection: &AsyncPgConnection,
    shards: &[i32],
    under_way: UnderWay,
    limit: usize,
    now: Timestamp,
    after: LogId,
) -> QueryResult<Vec<Row>> {
    let sql = match under_way {
        UnderWay::Perhaps => PAGE_WITH_STATUS,
        UnderWay::None => PAGE,
    };
    Statement::<(BigInt, Integer, Text, Nullable<BigInt>, Nullable<Text>, Bool)>::new(sql)
        .bind::<Array<Integer>, _>(shards)
        .bind::<UtcTimestamp, _>(now)
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
        .rows(connection)
        .await
}

/// When the next row can go out; rows that are under way or held do not count.
pub(super) async fn next_due_at(store: &PostgresStore, leases: &[Lease]) -> Result<Option<Timestamp>> {
    let sql = "\
        SELECT min(n.due_at)
        FROM unnest($1) AS r (shard),
            LATERAL (
                SELECT q.due_at FROM outbox_queue q
                WHERE q.shard = r.shard AND q.state <> 'review'
                    AND NOT EXISTS (
                        SELECT FROM outbox_queue f
                        WHERE f.topic = q.topic AND f.key_hash = q.key_hash AND f.state = 'failed'
                            AND f.production_id < q.production_id)
                    AND (SELECT p.status FROM event_production_log p WHERE p.id = q.production_id) <> 'PUBLISHING'
                ORDER BY q.due_at
                LIMIT 1) n";
    let shards: Vec<_> = leases.iter().filter_map(|lease| outbox_shard(&lease.resource)).collect();
    let connection = checkout(&store.pool).await?;
    let due_at =
        Statement::<Nullable<UtcTimestamp>>::new(sql).bind::<Array<Integer>, _>(shards).row(&connection).await?;
    Ok(due_at)
}
