//! Claiming open rows, and looking at them.

use std::collections::{BTreeMap, HashSet};

use diesel::{
    QueryResult,
    connection::DefaultLoadingMode,
    sql_types::{BigInt, Integer, Nullable, Text},
    sqlite::SqliteConnection,
};

use super::{
    NewClaim,
    delivery::{DeliveryRow, DeliverySql},
    insert_claim,
};
use crate::{
    clock::Timestamp,
    error::Result,
    store::{ClaimToken, Claimed, Delivery, DueRequest, HeldRequest, LogId, OpenKey, PartitionScope},
    stores::schema::UtcTimestamp,
};

pub(super) fn claim_due(connection: &mut SqliteConnection, request: &DueRequest, token: ClaimToken) -> Result<Claimed> {
    let owned = Owned::new(&request.scope);
    let mut rows = Vec::new();
    for (listener, room) in &request.room {
        due(connection, request, listener, &owned, usize::try_from(*room).unwrap_or(usize::MAX), &mut rows)?;
    }
    claim(
        connection,
        rows,
        &NewClaim { token, instance: &request.instance, group: &request.group, range: None, now: request.now },
    )
}

/// The earliest due rows of a listener, at most `room`.
fn due(
    connection: &mut SqliteConnection,
    request: &DueRequest,
    listener: &str,
    owned: &Owned<'_>,
    room: usize,
    found: &mut Vec<Found>,
) -> QueryResult<()> {
    let query = fixed!(
        "SELECT consumption_id, topic, partition_number, abandoned_count FROM inbox_queue
         WHERE consumer_group = ?1 AND handler_name = ?2 AND due_at <= ?3 AND state IN ('waiting', 'due')
         ORDER BY due_at, consumption_id",
        (BigInt, Text, Nullable<Integer>, Integer),
        Text = request.group.as_str(),
        Text = listener,
        UtcTimestamp = request.now
    );
    let full = found.len().saturating_add(room);
    let rows =
        diesel::RunQueryDsl::load_iter::<(LogId, String, Option<i32>, i32), DefaultLoadingMode>(query, connection)?;
    for row in rows {
        if found.len() >= full {
            break;
        }
        let (id, topic, partition, abandoned) = row?;
        if owned.has(&topic, partition) {
            found.push(Found { id, abandoned });
        }
    }
    Ok(())
}

pub(super) fn claim_held(
    connection: &mut SqliteConnection,
    request: &HeldRequest,
    token: ClaimToken,
) -> Result<Claimed> {
    let rows: Vec<(LogId, i32)> = load!(
        connection,
        "SELECT consumption_id, abandoned_count FROM inbox_queue
         WHERE consumer_group = ?1 AND handler_name = ?2 AND key_hash = ?3 AND state = 'held'
         ORDER BY consumption_id LIMIT ?4" => (BigInt, Integer),
        Text = request.group.as_str(),
        Text = request.listener.as_str(),
        BigInt = request.key_hash,
        BigInt = i64::from(request.limit)
    )?;
    let rows = rows.into_iter().map(|(id, abandoned)| Found { id, abandoned }).collect();
    claim(
        connection,
        rows,
        &NewClaim { token, instance: &request.instance, group: &request.group, range: None, now: request.now },
    )
}

/// A row of open work that can be claimed.
struct Found {
    id: LogId,
    abandoned: i32,
}

/// Claims rows of open work.
fn claim(connection: &mut SqliteConnection, rows: Vec<Found>, claim: &NewClaim<'_>) -> Result<Claimed> {
    let mut deliveries = Vec::with_capacity(rows.len());
    for found in rows {
        deliveries.extend(take(connection, &found, claim)?);
    }
    if deliveries.is_empty() {
        return Ok(Claimed::default());
    }
    insert_claim(connection, claim)?;
    deliveries.sort_unstable_by_key(|delivery| delivery.id);
    Ok(Claimed { token: Some(claim.token), deliveries })
}

/// Takes one row; `None` when its record is not open, and then nothing waits for it any longer.
///
/// Looking first and changing then is as safe as `RETURNING`, for nobody else writes, and much cheaper: SQLite makes a
/// table for what a statement returns.
fn take(connection: &mut SqliteConnection, found: &Found, claim: &NewClaim<'_>) -> QueryResult<Option<Delivery>> {
    let row: Option<DeliveryRow> = first!(
        connection,
        concat!(
            "SELECT ",
            delivery_columns!(),
            " FROM event_consumption_log WHERE id = ?1 AND status IN ('RECEIVED', 'FAILED')"
        ) => DeliverySql,
        BigInt = found.id
    )?;
    let Some(row) = row else {
        execute!(connection, "DELETE FROM inbox_queue WHERE consumption_id = ?1", BigInt = found.id)?;
        return Ok(None);
    };
    execute!(
        connection,
        "UPDATE event_consumption_log SET status = 'PROCESSING', updated_at = ?2 WHERE id = ?1",
        BigInt = found.id,
        UtcTimestamp = claim.now
    )?;
    execute!(
        connection,
        "UPDATE inbox_queue SET state = 'claimed', claim_token = ?2 WHERE consumption_id = ?1",
        BigInt = found.id,
        BigInt = claim.token.0
    )?;
    Ok(Some(row.into_delivery(claim.token, found.abandoned)))
}

/// The partitions within which an instance acts.
struct Owned<'a>(Option<HashSet<(&'a str, i32)>>);

impl<'a> Owned<'a> {
    fn new(scope: &'a PartitionScope) -> Self {
        Self(match scope {
            PartitionScope::Any => None,
            PartitionScope::Owned(partitions) => {
                Some(partitions.iter().map(|(topic, partition)| (topic.as_str(), *partition)).collect())
            }
        })
    }

    /// Rows of no partition are everybody's.
    fn has(&self, topic: &str, partition: Option<i32>) -> bool {
        match (&self.0, partition) {
            (Some(owned), Some(partition)) => owned.contains(&(topic, partition)),
            (None, _) | (_, None) => true,
        }
    }
}

/// Listener, key, topic, partition; heads, held and dead rows.
type KeyRow = (String, i64, String, Option<i32>, i64, i64, i64);

pub(super) fn open_keys(
    connection: &mut SqliteConnection,
    group: &str,
    scope: &PartitionScope,
) -> Result<Vec<OpenKey>> {
    let rows: Vec<KeyRow> = load!(
        connection,
        "SELECT handler_name, key_hash, topic, partition_number, sum(state NOT IN ('held', 'review')),
             sum(state = 'held'), sum(state = 'review')
         FROM inbox_queue
         WHERE consumer_group = ?1 AND key_hash IS NOT NULL
             AND (state <> 'review' OR EXISTS (
                 SELECT 1 FROM event_consumption_log WHERE id = consumption_id AND status = 'FAILED_MAX_RETRY'))
         GROUP BY handler_name, key_hash, topic, partition_number" =>
            (Text, BigInt, Text, Nullable<Integer>, BigInt, BigInt, BigInt),
        Text = group
    )?;
    let owned = Owned::new(scope);
    let mut keys: BTreeMap<(String, i64), (i64, i64, i64)> = BTreeMap::new();
    for (listener, key_hash, topic, partition, heads, held, dead) in rows {
        if owned.has(&topic, partition) {
            let counted = keys.entry((listener, key_hash)).or_default();
            *counted = (counted.0 + heads, counted.1 + held, counted.2 + dead);
        }
    }
    let count = |rows| u32::try_from(rows).unwrap_or(u32::MAX);
    Ok(keys
        .into_iter()
        .map(|((listener, key_hash), (heads, held, dead))| OpenKey {
            listener,
            key_hash,
            heads: count(heads),
            held: count(held),
            dead: count(dead),
        })
        .collect())
}

pub(super) fn next_due_at(
    connection: &mut SqliteConnection,
    group: &str,
    listeners: &[String],
) -> Result<Option<Timestamp>> {
    let mut earliest = None;
    for listener in listeners {
        let due_at: Option<Timestamp> = first!(
            connection,
            "SELECT due_at FROM inbox_queue
             WHERE consumer_group = ?1 AND handler_name = ?2 AND state IN ('waiting', 'due')
             ORDER BY due_at LIMIT 1" => UtcTimestamp,
            Text = group,
            Text = listener.as_str()
        )?;
        earliest = [earliest, due_at].into_iter().flatten().min();
    }
    Ok(earliest)
}
