//! Settling attempts: each changes its record only while its claim stands.

use diesel::{
    QueryResult,
    sql_types::{BigInt, Bool, Integer, Nullable, Text},
    sqlite::SqliteConnection,
};

use super::{
    dead_letter,
    queue::{self, Open},
};
use crate::{
    clock::{Timestamp, TimestampText},
    envelope::storable,
    error::Result,
    store::{Attempt, ClaimToken, ConsumptionStatus, Disposition, InboxState, LogId, SettleBatch, Settlement},
    stores::schema::UtcTimestamp,
};

/// Settles a batch; returns the rows whose claim is gone.
pub(super) fn settle(connection: &mut SqliteConnection, batch: &SettleBatch) -> Result<Vec<LogId>> {
    let mut claims = Claims::default();
    let mut stale = Vec::new();
    for settlement in &batch.settlements {
        let standing = claims.covers(connection, settlement, &batch.instance)?;
        if !standing || !apply(connection, settlement, &batch.instance)? {
            stale.push(settlement.id);
        }
    }
    for token in &batch.finished {
        execute!(
            connection,
            "DELETE FROM claim WHERE token = ?1 AND instance_id = ?2",
            BigInt = token.0,
            Text = batch.instance.as_str()
        )?;
    }
    failpoint!("settle.written");
    Ok(stale)
}

/// Settles one attempt; `false` when its claim is gone.
pub(in crate::stores::sqlite) fn settle_one(
    connection: &mut SqliteConnection,
    settlement: &Settlement,
    instance: &str,
) -> Result<bool> {
    Ok(Claims::default().covers(connection, settlement, instance)? && apply(connection, settlement, instance)?)
}

/// The claims that a batch is about, each looked up once.
#[derive(Default)]
struct Claims(Vec<(ClaimToken, Option<(LogId, LogId)>)>);

impl Claims {
    /// Whether the settlement's claim stands and can have its row.
    fn covers(
        &mut self,
        connection: &mut SqliteConnection,
        settlement: &Settlement,
        instance: &str,
    ) -> QueryResult<bool> {
        let known = self.0.iter().rev().find(|(token, _)| *token == settlement.token);
        let range = match known {
            Some((_, range)) => *range,
            None => {
                let range = first!(
                    connection,
                    "SELECT first_id, last_id FROM claim WHERE token = ?1 AND instance_id = ?2" => (BigInt, BigInt),
                    BigInt = settlement.token.0,
                    Text = instance
                )?;
                self.0.push((settlement.token, range));
                range
            }
        };
        Ok(range.is_some_and(|(first, last)| settlement.queued || (first..=last).contains(&settlement.id)))
    }
}

/// Changes the record, its row of open work and its attempts; `false`, and nothing, when the claim does not have it.
fn apply(connection: &mut SqliteConnection, settlement: &Settlement, instance: &str) -> QueryResult<bool> {
    let applied = match (&settlement.disposition, settlement.queued) {
        (Disposition::Processed, false) => processed(connection, settlement)?,
        _ => move_open_work(connection, settlement)? && change(connection, settlement)?,
    };
    if applied {
        if let Disposition::DeadLetter(letter) = &settlement.disposition {
            guard!("settle.letter", dead_letter::stage(connection, letter)?, without());
        }
        record_attempt(connection, settlement, instance)?;
    }
    Ok(applied)
}

/// The common case, at the least cost: a first run that succeeded.
fn processed(connection: &mut SqliteConnection, settlement: &Settlement) -> QueryResult<bool> {
    let changed = execute!(
        connection,
        "UPDATE event_consumption_log
         SET status = 'PROCESSED', processing_time_ms = ?2, processed_at = ?3, updated_at = ?3
         WHERE id = ?1 AND status = 'PROCESSING'
             AND NOT EXISTS (SELECT 1 FROM inbox_queue WHERE consumption_id = ?1)",
        BigInt = settlement.id,
        Nullable<BigInt> = processing_time_ms(settlement),
        UtcTimestamp = TimestampText::from(settlement.settled_at)
    )?;
    Ok(changed == 1)
}

/// What a disposition makes of the row of open work: its state and due time, or none.
fn open_work(settlement: &Settlement) -> Option<(InboxState, Timestamp)> {
    match &settlement.disposition {
        Disposition::Processed => None,
        Disposition::Retry { due_at, .. } => Some((InboxState::Due, *due_at)),
        Disposition::DeadLetter(_) | Disposition::Invalid => Some((InboxState::Review, settlement.settled_at)),
        Disposition::Release { due_at } => Some((InboxState::Waiting, *due_at)),
        Disposition::Hold => Some((InboxState::Held, settlement.settled_at)),
    }
}

/// Moves the row of open work to where it belongs; `false` when the claim does not have it.
fn move_open_work(connection: &mut SqliteConnection, settlement: &Settlement) -> QueryResult<bool> {
    let (id, token) = (settlement.id, settlement.token);
    match (open_work(settlement), settlement.queued) {
        (None, true) => queue::close(connection, id, token),
        (None, false) => Ok(true),
        (Some((state, due_at)), true) => queue::give_back(connection, id, token, state, due_at),
        (Some((state, due_at)), false) => {
            // A first run's row has none. One that has belongs to a later claim.
            let Some(1) = first!(connection, "SELECT 1 FROM event_consumption_log WHERE id = ?1 AND status = 'PROCESSING'
                       AND NOT EXISTS (SELECT 1 FROM inbox_queue WHERE consumption_id = ?1)" => Integer, BigInt = id)?
            else {
                return Ok(false);
            };
            let row = Open {
                id,
                group: &settlement.group,
                listener: &settlement.listener,
                topic: &settlement.topic,
                partition: settlement.partition,
                key_hash: settlement.key_hash,
                state,
                due_at,
                abandoned: 0,
            };
            queue::open(connection, &row)?;
            Ok(true)
        }
    }
}

/// Changes the record itself; `false` when it is not PROCESSING.
fn change(connection: &mut SqliteConnection, settlement: &Settlement) -> QueryResult<bool> {
    use ConsumptionStatus as Status;
    let status = settlement.disposition.status();
    let retry_count = match settlement.disposition {
        Disposition::Retry { .. } => settlement.retry_count.saturating_add(1),
        _ => settlement.retry_count,
    };
    let settled = matches!(status, Status::Processed | Status::FailedMaxRetry | Status::Invalid);
    let attempt = settlement.attempt.as_ref();
    let error = attempt.and_then(|attempt| attempt.error.as_deref()).map(storable);
    let stack_trace = attempt.and_then(|attempt| attempt.stack_trace.as_deref()).map(storable);
    let changed = execute!(
        connection,
        "UPDATE event_consumption_log
         SET status = ?2, retry_count = ?3, processing_time_ms = coalesce(?4, processing_time_ms),
             error_message = iif(?9, ?5, error_message), error_stack_trace = iif(?9, ?6, error_stack_trace),
             processed_at = ?7, updated_at = ?8
         WHERE id = ?1 AND status = 'PROCESSING'",
        BigInt = settlement.id,
        Text = status.as_str(),
        Integer = i32::try_from(retry_count).unwrap_or(i32::MAX),
        Nullable<BigInt> = processing_time_ms(settlement),
        Nullable<Text> = error.as_deref(),
        Nullable<Text> = stack_trace.as_deref(),
        Nullable<UtcTimestamp> = settled.then_some(settlement.settled_at),
        UtcTimestamp = settlement.settled_at,
        Bool = attempt.is_some()
    )?;
    if status == Status::Invalid {
        release_key(connection, settlement)?;
    }
    Ok(changed == 1)
}

/// What was malformed may come again corrected, under the same id.
fn release_key(connection: &mut SqliteConnection, settlement: &Settlement) -> QueryResult<()> {
    execute!(
        connection,
        "DELETE FROM idempotency_key
         WHERE consumer_group = ?1 AND handler_name = ?2 AND event_id = ?3 AND consumption_id = ?4",
        Text = settlement.group.as_str(),
        Text = settlement.listener.as_str(),
        Text = settlement.event_id.as_str(),
        BigInt = settlement.id
    )?;
    Ok(())
}

/// Writes the attempt down.
fn record_attempt(connection: &mut SqliteConnection, settlement: &Settlement, instance: &str) -> QueryResult<()> {
    let Some(attempt) = &settlement.attempt else { return Ok(()) };
    if matches!(settlement.disposition, Disposition::Processed) && !settlement.queued {
        return record_first_success(connection, settlement, attempt, instance);
    }
    let delay = match settlement.disposition {
        Disposition::Retry { delay, .. } => Some(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)),
        _ => None,
    };
    let error = attempt.error.as_deref().map(storable);
    let stack_trace = attempt.stack_trace.as_deref().map(storable);
    execute!(
        connection,
        "INSERT INTO event_attempt (consumption_id, event_id, attempt_number, handler_name, instance_id, started_at,
             completed_at, status, error_message, error_stack_trace, processing_time_ms, retry_delay_ms)
         VALUES (?1, ?2,
             (SELECT coalesce(max(attempt_number), 0) + 1 FROM event_attempt WHERE consumption_id = ?1),
             ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        BigInt = settlement.id,
        Text = settlement.event_id.as_str(),
        Text = settlement.listener.as_str(),
        Text = instance,
        UtcTimestamp = TimestampText::from(attempt.started_at),
        UtcTimestamp = TimestampText::from(attempt.completed_at),
        Text = attempt.status.as_str(),
        Nullable<Text> = error.as_deref(),
        Nullable<Text> = stack_trace.as_deref(),
        BigInt = processing_time_ms(settlement).unwrap_or(0),
        Nullable<BigInt> = delay
    )?;
    Ok(())
}

/// The common case, at the least cost.
fn record_first_success(
    connection: &mut SqliteConnection,
    settlement: &Settlement,
    attempt: &Attempt,
    instance: &str,
) -> QueryResult<()> {
    execute!(
        connection,
        "INSERT INTO event_attempt (consumption_id, event_id, attempt_number, handler_name, instance_id, started_at,
             completed_at, status, processing_time_ms)
         VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8)",
        BigInt = settlement.id,
        Text = settlement.event_id.as_str(),
        Text = settlement.listener.as_str(),
        Text = instance,
        UtcTimestamp = TimestampText::from(attempt.started_at),
        UtcTimestamp = TimestampText::from(attempt.completed_at),
        Text = attempt.status.as_str(),
        BigInt = processing_time_ms(settlement).unwrap_or(0)
    )?;
    Ok(())
}

/// The number of the next attempt at a row.
pub(super) fn next_number(connection: &mut SqliteConnection, id: LogId) -> QueryResult<i32> {
    Ok(first!(connection, "SELECT coalesce(max(attempt_number), 0) + 1 FROM event_attempt WHERE consumption_id = ?1" => Integer, BigInt = id)?.unwrap_or(1))
}

fn processing_time_ms(settlement: &Settlement) -> Option<i64> {
    let attempt = settlement.attempt.as_ref()?;
    Some(i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX))
}
