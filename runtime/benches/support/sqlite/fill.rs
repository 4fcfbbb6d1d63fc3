//! The backlog, as staging and, where it is so far, the relay would have left it.

use rusqlite::{Connection, params};
use tracked_events::TrackedEvent;

use super::{
    super::{
        backlog::{Backlog, PARTITIONS, ParcelScanned, Stage},
        listeners::SERVICE,
        rig::Result,
    },
    now,
};

const LOG: &str = "INSERT INTO event_production_log (event_id, service_name, topic, event_key, event_type, payload,
         status, partition_number, offset, published_at, created_at, content_type)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'application/json')";
const QUEUE: &str = "INSERT INTO outbox_queue (production_id, shard, topic, key_hash, due_at)
     VALUES (last_insert_rowid(), ?1, ?2, ?3, ?4)";
const PARTITION: &str = "INSERT INTO embedded_partition (topic, partition_number, next_offset, created_at)
     VALUES (?1, ?2, ?3, ?4)";

pub(super) fn fill(connection: &Connection, backlog: &Backlog) -> Result<()> {
    let (now, topic) = (now()?, ParcelScanned::TOPIC);
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let (mut log, mut queue) = (connection.prepare(LOG)?, connection.prepare(QUEUE)?);
    for row in &backlog.rows {
        let published = (backlog.stage == Stage::Published).then_some(row);
        log.execute(params![
            row.event_id,
            SERVICE,
            topic,
            row.key,
            ParcelScanned::EVENT_TYPE,
            row.payload,
            if published.is_some() { "PUBLISHED" } else { "PENDING" },
            published.map(|row| row.partition),
            published.map(|row| row.offset),
            published.map(|_| &now),
            now,
        ])?;
        if published.is_none() {
            queue.execute(params![row.shard, topic, row.key_hash, now])?;
        }
    }
    let mut partitions = connection.prepare(PARTITION)?;
    for partition in 0..PARTITIONS {
        partitions.execute(params![topic, i64::try_from(partition)?, backlog.next_offset(partition), now])?;
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}
