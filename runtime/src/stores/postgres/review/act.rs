//! Operators' acts. Each row is guarded by its status, and each act is on record.

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Binary, Nullable, Text},
};
use diesel_async::AsyncPgConnection;
use futures_util::try_join;

use crate::{
    envelope,
    error::Result,
    store::{LogId, OperatorAct, OperatorAction},
    stores::{
        postgres::{
            PostgresStore,
            pool::{Batch, Retries, Unit},
            statement::Statement,
        },
        schema::UtcTimestamp,
    },
};

/// A row that an operator may act on.
struct Target {
    id: LogId,
    event_id: String,
    status: String,
}

pub(super) async fn on_inbox(store: &PostgresStore, act: &OperatorAct) -> Result<Vec<LogId>> {
    let mut retries = Retries::new();
    loop {
        match attempt_inbox(store, act).await {
            Err(error) if retries.again(&error).await => {}
            result => return result,
        }
    }
}

/// An event that nobody wanted has no listener that could run it.
const RETRIABLE_CONSUMED: &str = "\
    SELECT id, event_id, status FROM event_consumption_log
    WHERE id = ANY ($1) AND status IN ('FAILED_MAX_RETRY', 'INVALID')
    ORDER BY id
    FOR UPDATE";

const DISCARDABLE_CONSUMED: &str = "\
    SELECT id, event_id, status FROM event_consumption_log
    WHERE id = ANY ($1) AND status IN ('FAILED_MAX_RETRY', 'INVALID', 'NO_HANDLER')
    ORDER BY id
    FOR UPDATE";

async fn attempt_inbox(store: &PostgresStore, act: &OperatorAct) -> Result<Vec<LogId>> {
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    let sql = match act.action {
        OperatorAction::Retry => RETRIABLE_CONSUMED,
        OperatorAction::Discard => DISCARDABLE_CONSUMED,
    };
    let ((), targets) = try_join!(connection.begin(), targets(connection, sql, act))?;
    let ids: Vec<_> = targets.iter().map(|target| target.id).collect();
    match act.action {
        OperatorAction::Retry => {
            enter_keys(connection, &targets, act).await?;
            try_join!(
                receive_again(connection, &ids, act),
                open_again(connection, &ids, act),
                record(connection, "event_consumption_log", "RECEIVED", &targets, act),
            )?;
        }
        OperatorAction::Discard => {
            try_join!(
                change(connection, DISCARD_CONSUMED, &ids, act),
                change(connection, CLOSE_CONSUMED, &ids, act),
                record(connection, "event_consumption_log", "DISCARDED", &targets, act),
            )?;
        }
    }
    failpoint!("redrive.written");
    unit.commit().await?;
    Ok(ids)
}

pub(super) async fn on_outbox(store: &PostgresStore, act: &OperatorAct) -> Result<Vec<LogId>> {
    let mut retries = Retries::new();
    loop {
        match attempt_outbox(store, act).await {
            Err(error) if retries.again(&error).await => {}
            result => return result,
        }
    }
}

async fn attempt_outbox(store: &PostgresStore, act: &OperatorAct) -> Result<Vec<LogId>> {
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    let sql = "\
        SELECT id, event_id, status FROM event_production_log
        WHERE id = ANY ($1) AND status = 'FAILED_MAX_RETRY'
        ORDER BY id
        FOR UPDATE";
    let ((), targets) = try_join!(connection.begin(), targets(connection, sql, act))?;
    let ids: Vec<_> = targets.iter().map(|target| target.id).collect();
    let (log, queue, status) = match act.action {
        OperatorAction::Retry => (RETRY_PRODUCED, OPEN_PRODUCED, "PENDING"),
        OperatorAction::Discard => (DISCARD_PRODUCED, CLOSE_PRODUCED, "DISCARDED"),
    };
    try_join!(
        change(connection, log, &ids, act),
        change(connection, queue, &ids, act),
        record(connection, "event_production_log", status, &targets, act),
    )?;
    unit.commit().await?;
    Ok(ids)
}

async fn targets(connection: &AsyncPgConnection, sql: &'static str, act: &OperatorAct) -> QueryResult<Vec<Target>> {
    let rows: Vec<(LogId, String, String)> = Statement::<(BigInt, Text, Text)>::new(sql)
        .bind::<Array<BigInt>, _>(act.ids.as_slice())
        .rows(connection)
        .await?;
    Ok(rows.into_iter().map(|(id, event_id, status)| Target { id, event_id, status }).collect())
}

/// INVALID rows had given up their keys. They get them back unless somebody else has them by now; an operator has then
/// said that it is to run all the same.
async fn enter_keys(connection: &AsyncPgConnection, targets: &[Target], act: &OperatorAct) -> QueryResult<()> {
    let invalid: Vec<_> = targets.iter().filter(|target| target.status == "INVALID").map(|target| target.id).collect();
    if invalid.is_empty() {
        return Ok(());
    }
    let payloads: Vec<(LogId, Option<Vec<u8>>)> = Statement::<(BigInt, Nullable<Binary>)>::new(
        "SELECT id, payload FROM event_consumption_log WHERE id = ANY ($1) ORDER BY id",
    )
    .bind::<Array<BigInt>, _>(invalid)
    .rows(connection)
    .await?;
    let (ids, checksums): (Vec<_>, Vec<_>) =
        payloads.into_iter().map(|(id, payload)| (id, payload.map_or(0, |bytes| envelope::hash(&bytes)))).unzip();
    let sql = "\
        INSERT INTO idempotency_key (consumer_group, handler_name, event_id, replay_id, checksum, processed_at,
            consumption_id)
        SELECT l.consumer_group, l.handler_name, l.event_id, l.replay_id, r.checksum, $3, l.id
        FROM unnest($1, $2) AS r (id, checksum)
        JOIN event_consumption_log l ON l.id = r.id
        ORDER BY l.event_id, l.handler_name COLLATE \"C\", l.replay_id COLLATE \"C\", l.id
        ON CONFLICT DO NOTHING";
    Statement::<()>::new(sql)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<BigInt>, _>(checksums)
        .bind::<UtcTimestamp, _>(act.now)
        .run(connection)
        .await?;
    Ok(())
}

async fn receive_again(connection: &AsyncPgConnection, ids: &[LogId], act: &OperatorAct) -> QueryResult<usize> {
    let sql = "\
        UPDATE event_consumption_log
        SET status = 'RECEIVED', retry_count = 0, redrive_count = redrive_count + 1, processed_at = NULL,
            updated_at = $2
        WHERE id = ANY ($1)";
    change(connection, sql, ids, act).await
}

async fn open_again(connection: &AsyncPgConnection, ids: &[LogId], act: &OperatorAct) -> QueryResult<usize> {
    let sql = "\
        INSERT INTO inbox_queue (consumption_id, consumer_group, handler_name, topic, partition_number, key_hash, state,
            due_at)
        SELECT id, consumer_group, handler_name, topic, partition_number, key_hash, 'waiting', $2
        FROM event_consumption_log
        WHERE id = ANY ($1)
        ON CONFLICT (consumption_id) DO UPDATE
            SET state = 'waiting', due_at = excluded.due_at, claim_token = NULL, abandoned_count = 0";
    change(connection, sql, ids, act).await
}

const DISCARD_CONSUMED: &str = "\
    UPDATE event_consumption_log SET status = 'DISCARDED', updated_at = $2 WHERE id = ANY ($1)";
const CLOSE_CONSUMED: &str = "DELETE FROM inbox_queue WHERE consumption_id = ANY ($1) AND $2 IS NOT NULL";
const RETRY_PRODUCED: &str = "\
    UPDATE event_production_log SET status = 'PENDING', retry_count = 0, updated_at = $2 WHERE id = ANY ($1)";
const OPEN_PRODUCED: &str = "\
    UPDATE outbox_queue SET state = 'pending', due_at = $2 WHERE production_id = ANY ($1)";
const DISCARD_PRODUCED: &str = "\
    UPDATE event_production_log SET status = 'DISCARDED', updated_at = $2 WHERE id = ANY ($1)";
const CLOSE_PRODUCED: &str = "DELETE FROM outbox_queue WHERE production_id = ANY ($1) AND $2 IS NOT NULL";

/// Runs one statement of an act: `$1` are the rows, `$2` is the time.
async fn change(
    connection: &AsyncPgConnection,
    sql: &'static str,
    ids: &[LogId],
    act: &OperatorAct,
) -> QueryResult<usize> {
    Statement::<()>::new(sql).bind::<Array<BigInt>, _>(ids).bind::<UtcTimestamp, _>(act.now).run(connection).await
}

async fn record(
    connection: &AsyncPgConnection,
    table: &'static str,
    status: &'static str,
    targets: &[Target],
    act: &OperatorAct,
) -> QueryResult<()> {
    let sql = "\
        INSERT INTO operator_action (action, target_table, target_id, event_id, status_from, status_to, operator, reason,
            created_at)
        SELECT $1, $2, r.id, r.event_id, r.status, $3, $4, $5, $6
        FROM unnest($7, $8, $9) AS r (id, event_id, status)";
    Statement::<()>::new(sql)
        .bind::<Text, _>(act.action.as_str())
        .bind::<Text, _>(table)
        .bind::<Text, _>(status)
        .bind::<Text, _>(act.operator.as_str())
        .bind::<Nullable<Text>, _>(act.reason.as_deref())
        .bind::<UtcTimestamp, _>(act.now)
        .bind::<Array<BigInt>, _>(targets.iter().map(|target| target.id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(targets.iter().map(|target| target.event_id.as_str()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(targets.iter().map(|target| target.status.as_str()).collect::<Vec<_>>())
        .run(connection)
        .await?;
    Ok(())
}
