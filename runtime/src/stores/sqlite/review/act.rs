//! Operators' acts: each guarded by the status it starts from, each on record.

use diesel::{
    QueryResult,
    sql_types::{BigInt, Binary, Bool, Nullable, Text},
    sqlite::SqliteConnection,
};

use crate::{
    envelope,
    store::{LogId, OperatorAct, OperatorAction, OutboxState},
    stores::schema::UtcTimestamp,
};

pub(super) fn on_consumed(connection: &mut SqliteConnection, act: &OperatorAct) -> QueryResult<Vec<LogId>> {
    let mut changed = Vec::new();
    for &id in &act.ids {
        let found: Option<(String, String)> = first!(
            connection,
            "SELECT event_id, status FROM event_consumption_log
             WHERE id = ?1 AND (status IN ('FAILED_MAX_RETRY', 'INVALID') OR status = 'NO_HANDLER' AND ?2)" => (Text, Text),
            BigInt = id,
            Bool = act.action == OperatorAction::Discard
        )?;
        let Some((event_id, from)) = found else { continue };
        let to = match act.action {
            OperatorAction::Retry => retry_consumed(connection, id, &from, act)?,
            OperatorAction::Discard => discard_consumed(connection, id, act)?,
        };
        record(connection, act, &Target { table: "event_consumption_log", id, event_id, from, to })?;
        changed.push(id);
    }
    failpoint!("redrive.written");
    Ok(changed)
}

/// RECEIVED again, with fresh retries.
fn retry_consumed(
    connection: &mut SqliteConnection,
    id: LogId,
    from: &str,
    act: &OperatorAct,
) -> QueryResult<&'static str> {
    if from == "INVALID" {
        restore_key(connection, id, act)?;
    }
    execute!(
        connection,
        "UPDATE event_consumption_log
         SET status = 'RECEIVED', retry_count = 0, redrive_count = redrive_count + 1, processed_at = NULL,
             updated_at = ?2
         WHERE id = ?1",
        BigInt = id,
        UtcTimestamp = act.now
    )?;
    execute!(
        connection,
        "INSERT OR REPLACE INTO inbox_queue (consumption_id, consumer_group, handler_name, topic, partition_number,
             key_hash, state, due_at)
         SELECT id, consumer_group, handler_name, topic, partition_number, key_hash, 'waiting', ?2
         FROM event_consumption_log WHERE id = ?1",
        BigInt = id,
        UtcTimestamp = act.now
    )?;
    Ok("RECEIVED")
}

/// What was malformed had given up its key; it takes it again if no corrected event has come since.
fn restore_key(connection: &mut SqliteConnection, id: LogId, act: &OperatorAct) -> QueryResult<()> {
    let payload: Option<Option<Vec<u8>>> = first!(
        connection,
        "SELECT payload FROM event_consumption_log WHERE id = ?1" => Nullable<Binary>,
        BigInt = id
    )?;
    let checksum = payload.flatten().map_or(0, |payload| envelope::hash(&payload));
    execute!(
        connection,
        "INSERT INTO idempotency_key (consumer_group, handler_name, event_id, replay_id, checksum, processed_at,
             consumption_id)
         SELECT consumer_group, handler_name, event_id, replay_id, ?2, ?3, id
         FROM event_consumption_log WHERE id = ?1
         ON CONFLICT DO NOTHING",
        BigInt = id,
        BigInt = checksum,
        UtcTimestamp = act.now
    )?;
    Ok(())
}

fn discard_consumed(connection: &mut SqliteConnection, id: LogId, act: &OperatorAct) -> QueryResult<&'static str> {
    execute!(
        connection,
        "UPDATE event_consumption_log SET status = 'DISCARDED', updated_at = ?2 WHERE id = ?1",
        BigInt = id,
        UtcTimestamp = act.now
    )?;
    execute!(connection, "DELETE FROM inbox_queue WHERE consumption_id = ?1", BigInt = id)?;
    Ok("DISCARDED")
}

pub(super) fn on_produced(connection: &mut SqliteConnection, act: &OperatorAct) -> QueryResult<Vec<LogId>> {
    let mut changed = Vec::new();
    for &id in &act.ids {
        let found: Option<(String, String)> = first!(
            connection,
            "SELECT event_id, status FROM event_production_log WHERE id = ?1 AND status = 'FAILED_MAX_RETRY'" =>
                (Text, Text),
            BigInt = id
        )?;
        let Some((event_id, from)) = found else { continue };
        let to = match act.action {
            OperatorAction::Retry => retry_produced(connection, id, act)?,
            OperatorAction::Discard => discard_produced(connection, id, act)?,
        };
        record(connection, act, &Target { table: "event_production_log", id, event_id, from, to })?;
        changed.push(id);
    }
    Ok(changed)
}

fn retry_produced(connection: &mut SqliteConnection, id: LogId, act: &OperatorAct) -> QueryResult<&'static str> {
    execute!(
        connection,
        "UPDATE event_production_log SET status = 'PENDING', retry_count = 0, updated_at = ?2 WHERE id = ?1",
        BigInt = id,
        UtcTimestamp = act.now
    )?;
    execute!(
        connection,
        "UPDATE outbox_queue SET state = ?2, due_at = ?3 WHERE production_id = ?1",
        BigInt = id,
        Text = OutboxState::Pending.as_str(),
        UtcTimestamp = act.now
    )?;
    Ok("PENDING")
}

fn discard_produced(connection: &mut SqliteConnection, id: LogId, act: &OperatorAct) -> QueryResult<&'static str> {
    execute!(
        connection,
        "UPDATE event_production_log SET status = 'DISCARDED', updated_at = ?2 WHERE id = ?1",
        BigInt = id,
        UtcTimestamp = act.now
    )?;
    execute!(connection, "DELETE FROM outbox_queue WHERE production_id = ?1", BigInt = id)?;
    Ok("DISCARDED")
}

/// What an act was done to.
struct Target {
    table: &'static str,
    id: LogId,
    event_id: String,
    from: String,
    to: &'static str,
}

fn record(connection: &mut SqliteConnection, act: &OperatorAct, target: &Target) -> QueryResult<()> {
    execute!(
        connection,
        "INSERT INTO operator_action (action, target_table, target_id, event_id, status_from, status_to, operator,
             reason, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        Text = act.action.as_str(),
        Text = target.table,
        BigInt = target.id,
        Text = target.event_id.as_str(),
        Text = target.from.as_str(),
        Text = target.to,
        Text = act.operator.as_str(),
        Nullable<Text> = act.reason.as_deref(),
        UtcTimestamp = act.now
    )?;
    Ok(())
}
