//! Rows of open work.

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Integer, Text},
};
use diesel_async::AsyncPgConnection;

use super::super::{columns::Column, statement::Statement};
use crate::{
    clock::Timestamp,
    store::{ClaimToken, InboxState, LogId},
    stores::schema::UtcTimestamp,
};

/// A row of open work that enters.
pub(super) struct Open<'a> {
    pub(super) id: LogId,
    pub(super) group: &'a str,
    pub(super) listener: &'a str,
    pub(super) topic: &'a str,
    pub(super) partition: Option<i32>,
    pub(super) key_hash: Option<i64>,
    pub(super) state: InboxState,
    pub(super) due_at: Timestamp,
    pub(super) abandoned: i32,
}

const OPEN: &str = "\
INSERT INTO inbox_queue (consumption_id, consumer_group, handler_name, topic, partition_number, key_hash, state,
    due_at, abandoned_count)
SELECT r.id, coalesce(r.consumer_group, $3), coalesce(r.handler_name, $5), coalesce(r.topic, $7),
    coalesce(r.partition_number, $9), coalesce(r.key_hash, $11), coalesce(r.state, $13), coalesce(r.due_at, $15),
    coalesce(r.abandoned_count, $17)
FROM unnest($1, $2, $4, $6, $8, $10, $12, $14, $16)
    AS r (id, consumer_group, handler_name, topic, partition_number, key_hash, state, due_at, abandoned_count)";

/// Enters rows. One that is there already is a unique violation: it belongs to a later claim.
pub(super) async fn open(connection: &AsyncPgConnection, rows: &[Open<'_>]) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    Statement::<()>::new(OPEN)
        .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .column::<Text, _>(Column::of(rows.iter().map(|row| Some(row.group))))
        .column::<Text, _>(Column::of(rows.iter().map(|row| Some(row.listener))))
        .column::<Text, _>(Column::of(rows.iter().map(|row| Some(row.topic))))
        .column::<Integer, _>(Column::of(rows.iter().map(|row| row.partition)))
        .column::<BigInt, _>(Column::of(rows.iter().map(|row| row.key_hash)))
        .column::<Text, _>(Column::of(rows.iter().map(|row| Some(row.state.as_str()))))
        .column::<UtcTimestamp, _>(Column::of(rows.iter().map(|row| Some(row.due_at))))
        .column::<Integer, _>(Column::of(rows.iter().map(|row| Some(row.abandoned))))
        .run(connection)
        .await?;
    Ok(())
}

/// A claimed row that goes back, or to review.
pub(super) struct Back {
    pub(super) id: LogId,
    pub(super) token: ClaimToken,
    pub(super) state: InboxState,
    pub(super) due_at: Timestamp,
    /// How many more attempts have ended with the death of their process.
    pub(super) abandoned: i32,
}

/// Gives claimed rows back; returns how many their claims had.
pub(super) async fn give_back(connection: &AsyncPgConnection, rows: &[Back]) -> QueryResult<usize> {
    if rows.is_empty() {
        return Ok(0);
    }
    let sql = "\
        UPDATE inbox_queue q
        SET state = coalesce(r.state, $5), due_at = coalesce(r.due_at, $7), claim_token = NULL,
            abandoned_count = q.abandoned_count + coalesce(r.abandoned, $9)
        FROM unnest($1, $2, $4, $6, $8) AS r (id, token, state, due_at, abandoned)
        WHERE q.consumption_id = r.id AND q.claim_token = coalesce(r.token, $3)";
    Statement::<()>::new(sql)
        .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .column::<BigInt, _>(Column::of(rows.iter().map(|row| Some(row.token.0))))
        .column::<Text, _>(Column::of(rows.iter().map(|row| Some(row.state.as_str()))))
        .column::<UtcTimestamp, _>(Column::of(rows.iter().map(|row| Some(row.due_at))))
        .column::<Integer, _>(Column::of(rows.iter().map(|row| Some(row.abandoned))))
        .run(connection)
        .await
}

/// Removes claimed rows whose work is done; returns how many their claims had.
pub(super) async fn close(connection: &AsyncPgConnection, rows: &[(LogId, ClaimToken)]) -> QueryResult<usize> {
    if rows.is_empty() {
        return Ok(0);
    }
    let sql = "\
        DELETE FROM inbox_queue q USING unnest($1, $2) AS r (id, token)
        WHERE q.consumption_id = r.id AND q.claim_token = coalesce(r.token, $3)";
    Statement::<()>::new(sql)
        .bind::<Array<BigInt>, _>(rows.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .column::<BigInt, _>(Column::of(rows.iter().map(|(_, token)| Some(token.0))))
        .run(connection)
        .await
}

/// Marks a claimed row as started. `false` when the claim does not have it.
pub(super) async fn start(connection: &AsyncPgConnection, id: LogId, token: ClaimToken) -> QueryResult<bool> {
    let sql = "UPDATE inbox_queue SET state = 'started' WHERE consumption_id = $1 AND claim_token = $2";
    let started = Statement::<()>::new(sql).bind::<BigInt, _>(id).bind::<BigInt, _>(token.0).run(connection).await?;
    Ok(started == 1)
}

/// Removes rows, whatever they wait for.
pub(super) async fn remove(connection: &AsyncPgConnection, ids: &[LogId]) -> QueryResult<()> {
    if !ids.is_empty() {
        let sql = "DELETE FROM inbox_queue WHERE consumption_id = ANY ($1)";
        Statement::<()>::new(sql).bind::<Array<BigInt>, _>(ids).run(connection).await?;
    }
    Ok(())
}
