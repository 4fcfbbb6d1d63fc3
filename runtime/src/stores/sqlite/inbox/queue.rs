//! Rows of open work.

use diesel::{
    QueryResult,
    sql_types::{BigInt, Integer, Nullable, Text},
    sqlite::SqliteConnection,
};

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

/// Enters it, in place of one that is there.
pub(super) fn open(connection: &mut SqliteConnection, row: &Open<'_>) -> QueryResult<()> {
    execute!(
        connection,
        "INSERT OR REPLACE INTO inbox_queue (consumption_id, consumer_group, handler_name, topic, partition_number,
             key_hash, state, due_at, abandoned_count)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        BigInt = row.id,
        Text = row.group,
        Text = row.listener,
        Text = row.topic,
        Nullable<Integer> = row.partition,
        Nullable<BigInt> = row.key_hash,
        Text = row.state.as_str(),
        UtcTimestamp = row.due_at,
        Integer = row.abandoned
    )?;
    Ok(())
}

/// Gives a claimed row back. `false` when the claim does not have it.
pub(super) fn give_back(
    connection: &mut SqliteConnection,
    id: LogId,
    token: ClaimToken,
    state: InboxState,
    due_at: Timestamp,
) -> QueryResult<bool> {
    let changed = execute!(
        connection,
        "UPDATE inbox_queue SET state = ?3, due_at = ?4, claim_token = NULL
         WHERE consumption_id = ?1 AND claim_token = ?2",
        BigInt = id,
        BigInt = token.0,
        Text = state.as_str(),
        UtcTimestamp = due_at
    )?;
    Ok(changed == 1)
}

/// Removes a claimed row: its work is done. `false` when the claim does not have it.
pub(super) fn close(connection: &mut SqliteConnection, id: LogId, token: ClaimToken) -> QueryResult<bool> {
    let changed = execute!(
        connection,
        "DELETE FROM inbox_queue WHERE consumption_id = ?1 AND claim_token = ?2",
        BigInt = id,
        BigInt = token.0
    )?;
    Ok(changed == 1)
}

/// Marks a claimed row as started. `false` when the claim does not have it.
pub(super) fn start(connection: &mut SqliteConnection, id: LogId, token: ClaimToken) -> QueryResult<bool> {
    let changed = execute!(
        connection,
        "UPDATE inbox_queue SET state = 'started' WHERE consumption_id = ?1 AND claim_token = ?2",
        BigInt = id,
        BigInt = token.0
    )?;
    Ok(changed == 1)
}
