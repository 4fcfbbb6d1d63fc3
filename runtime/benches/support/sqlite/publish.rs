//! The limit of the relay: take, place, mark and clear a batch in one transaction.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tracked_events::{TrackedEvent, envelope::hash};

use super::{
    super::{
        BATCH,
        backlog::{PARTITIONS, ParcelScanned},
        rig::Result,
    },
    now,
};

const DUE: &str = "SELECT q.production_id, q.key_hash, p.event_id
     FROM outbox_queue q JOIN event_production_log p ON p.id = q.production_id
     WHERE q.state <> 'review' AND q.due_at <= ?1 AND p.status IN ('PENDING', 'FAILED')
     ORDER BY q.production_id LIMIT ?2";
const PUBLISHED: &str = "UPDATE event_production_log
     SET status = 'PUBLISHED', partition_number = ?2, offset = ?3, published_at = ?4, updated_at = ?4
     WHERE id = ?1 AND status IN ('PENDING', 'FAILED')";
const CLEAR: &str = "DELETE FROM outbox_queue WHERE production_id = ?1";
const MOVE: &str = "UPDATE embedded_partition SET next_offset = ?3 WHERE topic = ?1 AND partition_number = ?2";

/// Relays everything; how long it took.
pub(super) fn publish(connection: &Connection, events: usize) -> Result<Duration> {
    let mut due = connection.prepare(DUE)?;
    let mut published = connection.prepare(PUBLISHED)?;
    let mut clear = connection.prepare(CLEAR)?;
    let mut move_on = connection.prepare(MOVE)?;
    let mut next = [0_i64; PARTITIONS];
    let began = Instant::now();
    let mut relayed = 0;
    while relayed < events {
        let now = now()?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let rows = due.query_map(params![now, i64::try_from(BATCH)?], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, String>(2)?))
        })?;
        let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
        for (id, key_hash, event_id) in &rows {
            let hash = key_hash.unwrap_or_else(|| hash(event_id.as_bytes()));
            let partition = hash.rem_euclid(i64::try_from(PARTITIONS)?);
            let offset = &mut next[usize::try_from(partition)?];
            published.execute(params![id, partition, *offset, now])?;
            clear.execute(params![id])?;
            *offset += 1;
        }
        for (partition, next) in (0_i64..).zip(next) {
            move_on.execute(params![ParcelScanned::TOPIC, partition, next])?;
        }
        connection.execute_batch("COMMIT")?;
        if rows.is_empty() {
            return Err("the outbox ran dry early".into());
        }
        relayed += rows.len();
    }
    Ok(began.elapsed())
}
