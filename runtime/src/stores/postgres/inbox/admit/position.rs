//! How far a group has read the embedded broker's partitions, moved in the transaction that admits what was read.

use std::collections::BTreeMap;

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Integer, Text},
};
use diesel_async::AsyncPgConnection;
use futures_util::try_join;

use crate::{
    broker::{EmbeddedLease, Position},
    error::{Error, ErrorKind},
    store::Admission,
    stores::{postgres::statement::Statement, schema::UtcTimestamp},
};

/// Moves the positions, and returns how many of their leases stand: all of them, or the batch must not be admitted.
pub(super) async fn advance(connection: &AsyncPgConnection, batch: &Admission) -> QueryResult<usize> {
    let positions = positions(batch);
    if positions.is_empty() {
        return Ok(0);
    }
    // A lease changes hands by an update, which waits for this lock.
    let standing = "\
        SELECT 1 FROM unnest($2, $3) AS r (resource, token)
        JOIN lease l ON l.resource = r.resource AND l.token = r.token
        WHERE l.instance_id = $1
        ORDER BY l.resource
        FOR SHARE OF l";
    let standing = Statement::<Integer>::new(standing)
        .bind::<Text, _>(batch.instance.as_str())
        .bind::<Array<Text>, _>(positions.values().map(|(held, _)| held.lease.resource.as_str()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(positions.values().map(|(held, _)| held.lease.token).collect::<Vec<_>>())
        .rows::<i32>(connection);
    let moved = "\
        INSERT INTO embedded_position AS p (consumer_group, topic, partition_number, next_offset, updated_at)
        SELECT r.consumer_group, r.topic, r.partition_number, r.next_offset, $1
        FROM unnest($2, $3, $4, $5) AS r (consumer_group, topic, partition_number, next_offset)
        ON CONFLICT (consumer_group, topic, partition_number)
            DO UPDATE SET
                next_offset = greatest(p.next_offset, excluded.next_offset), updated_at = excluded.updated_at";
    let moved = Statement::<()>::new(moved)
        .bind::<UtcTimestamp, _>(batch.now)
        .bind::<Array<Text>, _>(positions.values().map(|(held, _)| held.group.as_str()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(positions.keys().map(|(topic, _)| *topic).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(positions.keys().map(|(_, partition)| *partition).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(positions.values().map(|(_, next)| *next).collect::<Vec<_>>())
        .run(connection);
    let (standing, _) = try_join!(standing, moved)?;
    Ok(standing.len())
}

/// How many leases must stand.
pub(super) fn guarded(batch: &Admission) -> usize {
    positions(batch).len()
}

pub(super) fn stale() -> Error {
    Error::new(ErrorKind::StaleClaim, "the lease of a partition is gone; another instance reads it now")
}

/// The furthest position of each partition, in the order in which everybody locks them.
fn positions(batch: &Admission) -> BTreeMap<(&str, i32), (&EmbeddedLease, i64)> {
    let mut furthest = BTreeMap::new();
    for position in &batch.positions {
        let Position::Offset { partition, offset, lease: Some(held) } = position else { continue };
        let next = offset.saturating_add(1);
        furthest
            .entry((partition.topic.as_str(), partition.partition))
            .and_modify(|(_, known): &mut (&EmbeddedLease, i64)| *known = next.max(*known))
            .or_insert((held, next));
    }
    furthest
}
