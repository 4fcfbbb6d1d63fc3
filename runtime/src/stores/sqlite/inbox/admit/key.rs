//! The one authority on "seen before".

use diesel::{
    QueryResult,
    sql_types::{BigInt, Integer, Text},
    sqlite::SqliteConnection,
};

use crate::{
    clock::TimestampText,
    store::{Arrival, LogId},
    stores::schema::UtcTimestamp,
};

/// What is known of an id.
pub(super) struct Seen {
    pub(super) checksum: i64,
    pub(super) consumption_id: LogId,
}

/// Enters an id; `false` when it is there already.
pub(super) fn enter(
    connection: &mut SqliteConnection,
    group: &str,
    arrival: &Arrival,
    checksum: i64,
    id: LogId,
    now: &TimestampText,
) -> QueryResult<bool> {
    let entered = execute!(
        connection,
        "INSERT INTO idempotency_key (consumer_group, handler_name, event_id, replay_id, checksum, processed_at,
             consumption_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO NOTHING",
        Text = group,
        Text = arrival.listener.as_str(),
        Text = arrival.envelope.event_id.as_str(),
        Text = arrival.replay_id.as_str(),
        BigInt = checksum,
        UtcTimestamp = *now,
        BigInt = id
    )?;
    Ok(entered == 1)
}

/// What is known of an id, for a listener or, where its name is empty, for nobody.
pub(super) fn find(
    connection: &mut SqliteConnection,
    group: &str,
    listener: &str,
    arrival: &Arrival,
) -> QueryResult<Option<Seen>> {
    let found = first!(
        connection,
        "SELECT checksum, consumption_id FROM idempotency_key
         WHERE consumer_group = ?1 AND handler_name = ?2 AND event_id = ?3 AND replay_id = ?4" => (BigInt, BigInt),
        Text = group,
        Text = listener,
        Text = arrival.envelope.event_id.as_str(),
        Text = arrival.replay_id.as_str()
    )?;
    Ok(found.map(|(checksum, consumption_id)| Seen { checksum, consumption_id }))
}

/// Whether the group has ids that nobody wanted.
pub(super) fn any_unwanted(connection: &mut SqliteConnection, group: &str) -> QueryResult<bool> {
    let found: Option<i32> = first!(connection, "SELECT 1 FROM idempotency_key WHERE consumer_group = ?1 AND handler_name = '' LIMIT 1" => Integer, Text = group)?;
    Ok(found.is_some())
}

/// Lets the arrival's key point to another record.
pub(super) fn point_to(
    connection: &mut SqliteConnection,
    group: &str,
    arrival: &Arrival,
    id: LogId,
) -> QueryResult<()> {
    execute!(
        connection,
        "UPDATE idempotency_key SET consumption_id = ?5
         WHERE consumer_group = ?1 AND handler_name = ?2 AND event_id = ?3 AND replay_id = ?4",
        Text = group,
        Text = arrival.listener.as_str(),
        Text = arrival.envelope.event_id.as_str(),
        Text = arrival.replay_id.as_str(),
        BigInt = id
    )?;
    Ok(())
}

/// Forgets an id.
pub(super) fn remove(
    connection: &mut SqliteConnection,
    group: &str,
    listener: &str,
    arrival: &Arrival,
) -> QueryResult<()> {
    execute!(
        connection,
        "DELETE FROM idempotency_key
         WHERE consumer_group = ?1 AND handler_name = ?2 AND event_id = ?3 AND replay_id = ?4",
        Text = group,
        Text = listener,
        Text = arrival.envelope.event_id.as_str(),
        Text = arrival.replay_id.as_str()
    )?;
    Ok(())
}
