//! The one authority on "seen before".

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use deadpool::managed::Pool;
use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, Text},
};
use diesel_async::AsyncPgConnection;

use super::entry::{Entry, Fate};
use crate::{
    envelope::storable,
    error::Result,
    store::{Admission, LogId},
    stores::{
        postgres::{
            columns::Column,
            pool::{Connections, checkout},
            statement::Statement,
        },
        schema::UtcTimestamp,
    },
};

/// Enters the keys of the arrivals that have one, and returns the ids of those that were new.
///
/// Keys enter in their order, so that two batches with the same ids wait for each other instead of locking each other
/// out. Of two arrivals with one key, the earlier gets it.
pub(super) async fn enter(
    connection: &AsyncPgConnection,
    batch: &Admission,
    entries: &[Entry<'_>],
) -> QueryResult<Vec<LogId>> {
    let mut keyed: Vec<_> = entries.iter().filter(|entry| entry.is_keyed()).collect();
    if keyed.is_empty() {
        return Ok(Vec::new());
    }
    keyed.sort_unstable_by_key(|entry| (key_of(entry), entry.id));
    let sql = "\
        INSERT INTO idempotency_key (consumer_group, handler_name, event_id, replay_id, checksum, processed_at,
            consumption_id)
        SELECT $1, coalesce(r.handler_name, $6), r.event_id, coalesce(r.replay_id, $8), coalesce(r.checksum, $10), $2,
            r.id
        FROM unnest($3, $4, $5, $7, $9) AS r (id, event_id, handler_name, replay_id, checksum)
        ON CONFLICT DO NOTHING
        RETURNING consumption_id";
    Statement::<BigInt>::new(sql)
        .bind::<Text, _>(batch.group.as_str())
        .bind::<UtcTimestamp, _>(batch.now)
        .bind::<Array<BigInt>, _>(keyed.iter().map(|entry| entry.id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(event_ids(&keyed))
        .column::<Text, _>(Column::of(keyed.iter().map(|entry| Some(entry.arrival.listener.as_str()))))
        .column::<Text, _>(Column::of(keyed.iter().map(|entry| Some(entry.arrival.replay_id.as_str()))))
        .column::<BigInt, _>(Column::of(keyed.iter().map(|entry| Some(entry.checksum))))
        .rows(connection)
        .await
}

/// Looks up who has the keys of these arrivals. Those whose key is free stay as they are.
pub(super) async fn look_up(
    connection: &AsyncPgConnection,
    batch: &Admission,
    mut entries: Vec<&mut Entry<'_>>,
) -> QueryResult<()> {
    let sql = "\
        SELECT r.n, k.consumption_id, k.checksum
        FROM unnest($2, $3, $4) WITH ORDINALITY AS r (handler_name, event_id, replay_id, n),
            LATERAL (
                SELECT consumption_id, checksum FROM idempotency_key
                WHERE consumer_group = $1 AND handler_name = r.handler_name AND event_id = r.event_id
                    AND replay_id = r.replay_id
                LIMIT 1) k";
    let found: Vec<(i64, LogId, i64)> = Statement::<(BigInt, BigInt, BigInt)>::new(sql)
        .bind::<Text, _>(batch.group.as_str())
        .bind::<Array<Text>, _>(entries.iter().map(|entry| entry.arrival.listener.as_str()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(entries.iter().map(|entry| event_id(entry)).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(entries.iter().map(|entry| entry.arrival.replay_id.as_str()).collect::<Vec<_>>())
        .rows(connection)
        .await?;
    for (n, of, checksum) in found {
        if let Some(entry) = nth(&mut entries, n) {
            entry.again(of, checksum);
        }
    }
    Ok(())
}

/// Looks up which of these events nobody wanted before, though somebody does now. The first listener that wants one
/// gets its record; the others a new one.
pub(super) async fn look_up_unwanted(
    connection: &AsyncPgConnection,
    batch: &Admission,
    entries: &mut [Entry<'_>],
) -> QueryResult<()> {
    let mut wanted: Vec<_> =
        entries.iter_mut().filter(|entry| entry.is_keyed() && !entry.arrival.listener.is_empty()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    wanted.sort_unstable_by(|a, b| (key_of(a), a.id).cmp(&(key_of(b), b.id)));
    let sql = "\
        SELECT r.n, k.consumption_id, k.checksum, coalesce(l.status = 'NO_HANDLER', false)
        FROM unnest($2, $3, $4) WITH ORDINALITY AS r (handler_name, event_id, replay_id, n)
        JOIN idempotency_key k ON k.consumer_group = $1 AND k.handler_name = ''
            AND k.event_id = r.event_id AND k.replay_id = r.replay_id
        LEFT JOIN event_consumption_log l ON l.id = k.consumption_id
        WHERE NOT EXISTS (
            SELECT FROM idempotency_key own WHERE own.consumer_group = $1 AND own.handler_name = r.handler_name
                AND own.event_id = r.event_id AND own.replay_id = r.replay_id)
        ORDER BY r.n
        FOR UPDATE OF k";
    let found: Vec<(i64, LogId, i64, bool)> = Statement::<(BigInt, BigInt, BigInt, Bool)>::new(sql)
        .bind::<Text, _>(batch.group.as_str())
        .bind::<Array<Text>, _>(wanted.iter().map(|entry| entry.arrival.listener.as_str()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(wanted.iter().map(|entry| event_id(entry)).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(wanted.iter().map(|entry| entry.arrival.replay_id.as_str()).collect::<Vec<_>>())
        .rows(connection)
        .await?;
    let mut reopened = HashSet::new();
    for (n, first, checksum, is_open) in found {
        let Some(entry) = nth(&mut wanted, n) else { continue };
        if !is_open || checksum != entry.checksum {
            entry.again(first, checksum);
        } else if reopened.insert(first) {
            entry.fate = Fate::Reopened { first };
        }
    }
    Ok(())
}

fn nth<'e, 'a>(entries: &'e mut [&mut Entry<'a>], n: i64) -> Option<&'e mut Entry<'a>> {
    let at = usize::try_from(n).ok()?.checked_sub(1)?;
    entries.get_mut(at).map(|entry| &mut **entry)
}

/// What tells most comes first, as in the table.
fn key_of<'e>(entry: &'e Entry<'_>) -> (&'e str, &'e str, &'e str) {
    let arrival = entry.arrival;
    (&arrival.envelope.event_id, &arrival.listener, &arrival.replay_id)
}

fn event_id<'a>(entry: &Entry<'a>) -> Cow<'a, str> {
    storable(&entry.arrival.envelope.event_id)
}

fn event_ids<'a>(entries: &[&Entry<'a>]) -> Vec<Cow<'a, str>> {
    entries.iter().map(|entry| event_id(entry)).collect()
}

/// Which groups have keys of events that nobody wanted: only then are arrivals looked up among them.
#[derive(Default)]
pub(in crate::stores::postgres) struct Unwanted(Mutex<HashMap<String, bool>>);

impl Unwanted {
    pub(super) async fn known(&self, pool: &Pool<Connections>, group: &str) -> Result<bool> {
        let known = self.groups().get(group).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let sql = "SELECT EXISTS (SELECT FROM idempotency_key WHERE consumer_group = $1 AND handler_name = '')";
        let connection = checkout(pool).await?;
        let known: bool = Statement::<Bool>::new(sql).bind::<Text, _>(group).row(&connection).await?;
        // Another task may have admitted such an event since.
        Ok(*self.groups().entry(group.to_owned()).and_modify(|noted| *noted |= known).or_insert(known))
    }

    /// The group has such a key now.
    pub(super) fn note(&self, group: &str) {
        self.groups().insert(group.to_owned(), true);
    }

    /// What other instances have admitted is to be asked again.
    pub(in crate::stores::postgres) fn forget(&self, group: &str) {
        self.groups().remove(group);
    }

    fn groups(&self) -> std::sync::MutexGuard<'_, HashMap<String, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
