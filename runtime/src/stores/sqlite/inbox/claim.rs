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
    let mut ids = Vec::new();
    for (listener, room) in &request.room {
        due(connection, request, listener, &owned, usize::try_from(*room).unwrap_or(usize::MAX), &mut ids)?;
    }
    claim(
        connection,
        ids,
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
    ids: &mut Vec<LogId>,
) -> QueryResult<()> {
    let query = fixed!(
        "SELECT consumption_id, topic, partition_number FROM inbox_queue
         WHERE consumer_group = ?1 AND handler_name = ?2 AND due_at <= ?3 AND state IN ('waiting', 'due')
         ORDER BY due_at, consumption_id",
        (BigInt, Text, Nullable<Integer>),
        Text = request.group.as_str(),
        Text = listener,
        UtcTimestamp = request.now
    );
    let full = ids.len().saturating_add(room);
    let rows = diesel::RunQueryDsl::load_iter::<(LogId, String, Option<i32>), DefaultLoadingMode>(query, connection)?;
    for row in rows {
        if ids.len() >= full {
            break;
        }
        let (id, topic, partition) = row?;
        if owned.has(&topic, partition) {
            ids.push(id);
        }
    }
    Ok(())
}

pub(super) fn claim_held(
    connection: &mut SqliteConnection,
    request: &HeldRequest,
    token: ClaimToken,
) -> Result<Claimed> {
    let ids = load!(
        connection,
        "SELECT consumption_id FROM inbox_queue
         WHERE consumer_group = ?1 AND handler_name = ?2 AND key_hash = ?3 AND state = 'held'
         ORDER BY consumption_id LIMIT ?4" => BigInt,
        Text = request.group.as_str(),
        Text = request.listener.as_str(),
        BigInt = request.key_hash,
        BigInt = i64::from(request.limit)
    )?;
    claim(
        connection,
        ids,
        &NewClaim { token, instance: &request.instance, group: &request.group, range: None, now: request.now },
    )
}

/// Claims rows of open work.
fn claim(connection: &mut SqliteConnection, ids: Vec<LogId>, claim: &NewClaim<'_>) -> Result<Claimed> {
    let mut deliveries = Vec::with_capacity(ids.len());
    for id in ids {
        deliveries.extend(take(connection, id, claim)?);
    }
    if deliveries.is_empty() {
        return Ok(Claimed::default());
    }
    insert_claim(connection, claim)?;
    deliveries.sort_unstable_by_key(|delivery| delivery.id);
    Ok(Claimed { token: Some(claim.token), deliveries })
}

/// Takes one row; `None` when its record is not open, and then nothing waits for it any longer.
fn take(connection: &mut SqliteConnection, id: LogId, claim: &NewClaim<'_>) -> QueryResult<Option<Delivery>> {
    let row: Option<DeliveryRow> = first!(
        connection,
        concat!(
            "UPDATE event_consumption_log SET status = 'PROCESSING', updated_at = ?2
             WHERE id = ?1 AND status IN ('RECEIVED', 'FAILED') RETURNING ",
            delivery_columns!()
        ) => DeliverySql,
        BigInt = id,
        UtcTimestamp = claim.now
    )?;
    let Some(row) = row else {
        execute!(connection, "DELETE FROM inbox_queue WHERE consumption_id = ?1", BigInt = id)?;
        return Ok(None);
    };
    let abandoned: Option<i32> = first!(
        connection,
        "UPDATE inbox_queue SET state = 'claimed', claim_token = ?2 WHERE consumption_id = ?1
         RETURNING abandoned_count" => Integer,
        BigInt = id,
        BigInt = claim.token.0
    )?;
    Ok(Some(row.into_delivery(claim.token, abandoned.unwrap_or(0))))
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

pub(super) fn open_keys(
    connection: &mut SqliteConnection,
    group: &str,
    scope: &PartitionScope,
) -> Result<Vec<OpenKey>> {
    let rows: Vec<(String, i64, String, Option<i32>, i64, i64)> = load!(
        connection,
        "SELECT handler_name, key_hash, topic, partition_number, sum(state <> 'held'), sum(state = 'held')
         FROM inbox_queue
         WHERE consumer_group = ?1 AND key_hash IS NOT NULL AND state <> 'review'
         GROUP BY handler_name, key_hash, topic, partition_number" =>
            (Text, BigInt, Text, Nullable<Integer>, BigInt, BigInt),
        Text = group
    )?;
    let owned = Owned::new(scope);
    let mut keys: BTreeMap<(String, i64), (i64, i64)> = BTreeMap::new();
    for (listener, key_hash, topic, partition, heads, held) in rows {
        if owned.has(&topic, partition) {
            let counted = keys.entry((listener, key_hash)).or_default();
            *counted = (counted.0 + heads, counted.1 + held);
        }
    }
    let count = |rows| u32::try_from(rows).unwrap_or(u32::MAX);
    Ok(keys
        .into_iter()
        .map(|((listener, key_hash), (heads, held))| OpenKey {
            listener,
            key_hash,
            heads: count(heads),
            held: count(held),
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
