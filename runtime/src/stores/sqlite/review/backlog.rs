//! How much open work there is.

use std::collections::BTreeMap;

use diesel::{
    Connection, QueryResult,
    sql_types::{BigInt, Nullable, Text},
    sqlite::SqliteConnection,
};

use crate::{
    clock::Timestamp,
    store::{Backlog, GroupLag, ListenerBacklog},
    stores::schema::UtcTimestamp,
};

pub(super) fn backlog(connection: &mut SqliteConnection) -> QueryResult<Backlog> {
    // Of one moment: what moves from one table to the next is in one of them.
    connection.transaction(|connection| {
        let claims = first!(connection, "SELECT count(*) FROM claim" => BigInt)?.unwrap_or(0);
        let (listeners, embedded_lag) = (listeners(connection)?, lag(connection)?);
        let mut backlog = Backlog { listeners, embedded_lag, claims, ..Backlog::default() };
        outbox(connection, &mut backlog)?;
        Ok(backlog)
    })
}

fn outbox(connection: &mut SqliteConnection, backlog: &mut Backlog) -> QueryResult<()> {
    let states: Vec<(String, i64, Option<Timestamp>)> = load!(
        connection,
        "SELECT state, count(*), min(due_at) FROM outbox_queue GROUP BY state" => (Text, BigInt, Nullable<UtcTimestamp>)
    )?;
    for (state, rows, oldest) in states {
        match state.as_str() {
            "review" => backlog.outbox_review = rows,
            state => {
                backlog.outbox_pending += rows;
                if state == "failed" {
                    backlog.outbox_failed = rows;
                }
                backlog.outbox_oldest_due_at = [backlog.outbox_oldest_due_at, oldest].into_iter().flatten().min();
            }
        }
    }
    Ok(())
}

fn listeners(connection: &mut SqliteConnection) -> QueryResult<Vec<ListenerBacklog>> {
    let states: Vec<(String, String, String, i64, Option<Timestamp>)> = load!(
        connection,
        "SELECT consumer_group, handler_name, state, count(*), min(due_at) FROM inbox_queue
         GROUP BY consumer_group, handler_name, state" =>
            (Text, Text, Text, BigInt, Nullable<UtcTimestamp>)
    )?;
    let mut listeners: BTreeMap<(String, String), ListenerBacklog> = BTreeMap::new();
    for (consumer_group, handler_name, state, rows, oldest) in states {
        let key = (consumer_group.clone(), handler_name.clone());
        let listener = listeners.entry(key).or_insert_with(|| ListenerBacklog {
            consumer_group,
            handler_name,
            ..ListenerBacklog::default()
        });
        match state.as_str() {
            "waiting" => listener.waiting = rows,
            "held" => listener.held = rows,
            "due" => listener.due = rows,
            "review" => listener.review = rows,
            _ => listener.claimed += rows,
        }
        if matches!(state.as_str(), "waiting" | "due") {
            listener.oldest_due_at = [listener.oldest_due_at, oldest].into_iter().flatten().min();
        }
    }
    Ok(listeners.into_values().collect())
}

fn lag(connection: &mut SqliteConnection) -> QueryResult<Vec<GroupLag>> {
    let lags: Vec<(String, String, i64)> = load!(
        connection,
        "SELECT p.consumer_group, p.topic, CAST(sum(max(t.next_offset - p.next_offset, 0)) AS INTEGER)
         FROM embedded_position p JOIN embedded_partition t
             ON t.topic = p.topic AND t.partition_number = p.partition_number
         GROUP BY p.consumer_group, p.topic ORDER BY 1, 2" => (Text, Text, BigInt)
    )?;
    Ok(lags.into_iter().map(|(consumer_group, topic, lag)| GroupLag { consumer_group, topic, lag }).collect())
}
