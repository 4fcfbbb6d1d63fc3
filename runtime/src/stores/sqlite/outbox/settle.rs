//! Settling rows that were sent, and giving back those that nobody settled.

use diesel::{
    QueryResult,
    sql_types::{BigInt, Integer, Nullable, Text},
    sqlite::SqliteConnection,
};

use super::queue::Shards;
use crate::{
    clock::Timestamp,
    envelope::storable,
    error::Result,
    store::{Lease, LogId, OutboxState, OutgoingOutcome, OutgoingResult},
    stores::schema::UtcTimestamp,
};

pub(super) fn settle(
    connection: &mut SqliteConnection,
    leases: &[Lease],
    results: &[OutgoingResult],
    now: Timestamp,
) -> Result<()> {
    let shards = Shards::standing(connection, leases)?;
    for result in results.iter().filter(|result| shards.has(result.shard)) {
        match &result.outcome {
            OutgoingOutcome::Published { partition, offset } => {
                published(connection, result.id, *partition, *offset, now)?;
            }
            OutgoingOutcome::Retry { error, due_at } => {
                if refused(connection, result.id, "FAILED", 1, error, now)? {
                    queue_again(connection, result.id, OutboxState::Failed, *due_at)?;
                }
            }
            OutgoingOutcome::GiveUp { error } => {
                if refused(connection, result.id, "FAILED_MAX_RETRY", 0, error, now)? {
                    queue_again(connection, result.id, OutboxState::Review, now)?;
                }
            }
            OutgoingOutcome::Held => {
                if pending_again(connection, result.id, now)? {
                    queue_again(connection, result.id, OutboxState::Pending, now)?;
                }
            }
        }
    }
    Ok(())
}

fn published(
    connection: &mut SqliteConnection,
    id: LogId,
    partition: Option<i32>,
    offset: Option<i64>,
    now: Timestamp,
) -> QueryResult<()> {
    let changed = execute!(
        connection,
        "UPDATE event_production_log
         SET status = 'PUBLISHED', partition_number = ?2, offset = ?3, published_at = ?4, updated_at = ?4,
             error_message = NULL
         WHERE id = ?1 AND status = 'PUBLISHING'",
        BigInt = id,
        Nullable<Integer> = partition,
        Nullable<BigInt> = offset,
        UtcTimestamp = now
    )?;
    if changed == 1 {
        execute!(connection, "DELETE FROM outbox_queue WHERE production_id = ?1", BigInt = id)?;
    }
    Ok(())
}

fn refused(
    connection: &mut SqliteConnection,
    id: LogId,
    status: &str,
    retries: i32,
    error: &str,
    now: Timestamp,
) -> QueryResult<bool> {
    let changed = execute!(
        connection,
        "UPDATE event_production_log
         SET status = ?2, retry_count = retry_count + ?3, error_message = ?4, updated_at = ?5
         WHERE id = ?1 AND status = 'PUBLISHING'",
        BigInt = id,
        Text = status,
        Integer = retries,
        Text = &*storable(error),
        UtcTimestamp = now
    )?;
    Ok(changed == 1)
}

fn pending_again(connection: &mut SqliteConnection, id: LogId, now: Timestamp) -> QueryResult<bool> {
    Ok(execute!(
        connection,
        "UPDATE event_production_log SET status = 'PENDING', updated_at = ?2
               WHERE id = ?1 AND status = 'PUBLISHING'",
        BigInt = id,
        UtcTimestamp = now
    )? == 1)
}

fn queue_again(connection: &mut SqliteConnection, id: LogId, state: OutboxState, due_at: Timestamp) -> QueryResult<()> {
    execute!(
        connection,
        "UPDATE outbox_queue SET state = ?2, due_at = ?3 WHERE production_id = ?1",
        BigInt = id,
        Text = state.as_str(),
        UtcTimestamp = due_at
    )
    .map(drop)
}

/// Rows in PUBLISHING whose sender is gone: PENDING again. They may be sent twice, under the same id.
pub(super) fn recover(connection: &mut SqliteConnection, leases: &[Lease], now: Timestamp) -> Result<u32> {
    let shards = Shards::standing(connection, leases)?;
    if shards.is_empty() {
        return Ok(0);
    }
    let left: Vec<LogId> = load!(
        connection,
        "SELECT q.production_id FROM outbox_queue q JOIN event_production_log p ON p.id = q.production_id
         WHERE q.state <> 'review' AND (?1 >> q.shard) & 1 AND p.status = 'PUBLISHING'" => BigInt,
        BigInt = shards.bits()
    )?;
    let mut recovered = 0;
    for id in left {
        if pending_again(connection, id, now)? {
            queue_again(connection, id, OutboxState::Pending, now)?;
            recovered += 1;
        }
    }
    Ok(recovered)
}
