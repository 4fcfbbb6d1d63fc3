//! Publishing to topics that live in the production log.

use std::collections::{BTreeMap, BTreeSet};

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Integer, Text},
};
use diesel_async::AsyncPgConnection;
use futures_util::try_join;

use super::queue::{self, Due, UnderWay};
use crate::{
    clock::Timestamp,
    envelope,
    error::Result,
    store::{Lease, LogId},
    stores::{
        postgres::{
            PostgresStore, embedded, lease,
            pool::{Batch, Retries, Unit},
            statement::Statement,
        },
        schema::UtcTimestamp,
    },
};

pub(super) async fn publish(
    store: &PostgresStore,
    leases: &[Lease],
    limit: u32,
    partitions: u32,
    now: Timestamp,
) -> Result<u32> {
    let mut retries = Retries::new();
    // Nothing is under way to a topic in this database, unless it went to a broker before.
    let mut under_way = UnderWay::None;
    loop {
        match attempt(store, leases, under_way, limit, partitions, now).await {
            Ok(Some(published)) => return Ok(published),
            Ok(None) => under_way = UnderWay::Perhaps,
            Err(error) if retries.again(&error).await => {}
            Err(error) => return Err(error),
        }
    }
}

/// One transaction. The partitions stay locked until it commits, so that offsets become visible in their order. `None`
/// when rows were under way though none should have been.
async fn attempt(
    store: &PostgresStore,
    leases: &[Lease],
    under_way: UnderWay,
    limit: u32,
    partitions: u32,
    now: Timestamp,
) -> Result<Option<u32>> {
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    let ((), shards) = try_join!(connection.begin(), lease::standing(connection, leases))?;
    let due =
        if shards.is_empty() { Vec::new() } else { queue::due(connection, &shards, under_way, limit, now).await? };
    if due.is_empty() {
        unit.rollback().await?;
        return Ok(Some(0));
    }
    let counts = store.topics.partition_counts(connection, &due, partitions, now).await?;
    let mut places = Places::of(&due, &counts);
    places.lock(connection).await?;
    let published = places.fill(connection, &due, now).await?;
    if published < due.len() && under_way == UnderWay::None {
        unit.rollback().await?;
        return Ok(None);
    }
    failpoint!("relay.placed");
    unit.commit().await?;
    // Only now is it certain that the topics are there.
    store.topics.note(counts);
    Ok(Some(u32::try_from(published).unwrap_or(u32::MAX)))
}

/// How many partitions the topics have that this process has published to. It never changes.
#[derive(Default)]
pub(in crate::stores::postgres) struct Topics(std::sync::RwLock<BTreeMap<String, i64>>);

impl Topics {
    async fn partition_counts(
        &self,
        connection: &AsyncPgConnection,
        due: &[Due],
        partitions: u32,
        now: Timestamp,
    ) -> QueryResult<BTreeMap<String, i64>> {
        let mut counts = BTreeMap::new();
        let mut unknown: Vec<&str> = Vec::new();
        {
            let known = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            let topics: BTreeSet<_> = due.iter().map(|row| row.topic.as_str()).collect();
            for topic in topics {
                match known.get(topic) {
                    Some(count) => drop(counts.insert(topic.to_owned(), *count)),
                    None => unknown.push(topic),
                }
            }
        }
        if unknown.is_empty() {
            return Ok(counts);
        }
        embedded::make_topics(connection, &unknown, partitions, now).await?;
        let sql = "SELECT topic, count(*) FROM embedded_partition WHERE topic = ANY ($1) GROUP BY topic";
        let made: Vec<(String, i64)> =
            Statement::<(Text, BigInt)>::new(sql).bind::<Array<Text>, _>(unknown).rows(connection).await?;
        counts.extend(made);
        Ok(counts)
    }

    fn note(&self, counts: BTreeMap<String, i64>) {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner).extend(counts);
    }
}

/// The partitions that a batch goes to, each with its next offset, and the partition of each row.
struct Places<'a> {
    next_offsets: BTreeMap<(&'a str, i32), i64>,
    partitions: Vec<i32>,
}

impl<'a> Places<'a> {
    fn of(due: &'a [Due], counts: &BTreeMap<String, i64>) -> Self {
        let partition = |row: &Due| {
            let by_id = || row.event_id.as_deref().map_or(0, |id| envelope::hash(id.as_bytes()));
            let count = counts.get(&row.topic).copied().unwrap_or(1).max(1);
            i32::try_from(row.key_hash.unwrap_or_else(by_id).rem_euclid(count)).unwrap_or(0)
        };
        let partitions: Vec<_> = due.iter().map(partition).collect();
        let next_offsets =
            due.iter().zip(&partitions).map(|(row, partition)| ((row.topic.as_str(), *partition), 0)).collect();
        Self { next_offsets, partitions }
    }

    fn columns(&self) -> (Vec<&'a str>, Vec<i32>) {
        self.next_offsets.keys().copied().unzip()
    }

    /// Locks the partitions in the order in which everybody does, and reads their next offsets.
    async fn lock(&mut self, connection: &AsyncPgConnection) -> QueryResult<()> {
        let sql = "\
            SELECT r.n, p.next_offset FROM unnest($1, $2) WITH ORDINALITY AS r (topic, partition_number, n)
            JOIN embedded_partition p ON p.topic = r.topic AND p.partition_number = r.partition_number
            ORDER BY p.topic COLLATE \"C\", p.partition_number
            FOR UPDATE OF p";
        let (topics, partitions) = self.columns();
        let rows: Vec<(i64, i64)> = Statement::<(BigInt, BigInt)>::new(sql)
            .bind::<Array<Text>, _>(topics)
            .bind::<Array<Integer>, _>(partitions)
            .rows(connection)
            .await?;
        let offsets: BTreeMap<_, _> = rows.into_iter().collect();
        for (n, next) in (1_i64..).zip(self.next_offsets.values_mut()) {
            *next = offsets.get(&n).copied().ok_or(diesel::result::Error::NotFound)?;
        }
        Ok(())
    }

    /// Gives the rows their offsets, and writes it all down; returns how many rows were published.
    async fn fill(&mut self, connection: &AsyncPgConnection, due: &'a [Due], now: Timestamp) -> QueryResult<usize> {
        let ids: Vec<LogId> = due.iter().map(|row| row.id).collect();
        let mut offsets = Vec::with_capacity(due.len());
        for (row, partition) in due.iter().zip(&self.partitions) {
            let next = self.next_offsets.get_mut(&(row.topic.as_str(), *partition));
            let next = next.ok_or(diesel::result::Error::NotFound)?;
            offsets.push(*next);
            *next += 1;
        }
        let log = "\
            UPDATE event_production_log p
            SET status = 'PUBLISHED', partition_number = r.partition_number, \"offset\" = r.\"offset\",
                published_at = $1, updated_at = $1, error_message = NULL
            FROM unnest($2, $3, $4) AS r (id, partition_number, \"offset\")
            WHERE p.id = r.id AND p.id BETWEEN $5 AND $6 AND p.status IN ('PENDING', 'FAILED')";
        let log = Statement::<()>::new(log)
            .bind::<UtcTimestamp, _>(now)
            .bind::<Array<BigInt>, _>(ids.as_slice())
            .bind::<Array<Integer>, _>(self.partitions.as_slice())
            .bind::<Array<BigInt>, _>(offsets)
            .bounds(&ids)
            .run(connection);
        let queue = Statement::<()>::new("DELETE FROM outbox_queue WHERE production_id = ANY ($1)")
            .bind::<Array<BigInt>, _>(ids.as_slice())
            .run(connection);
        let (published, _, ()) = try_join!(log, queue, self.advance(connection))?;
        Ok(published)
    }

    async fn advance(&self, connection: &AsyncPgConnection) -> QueryResult<()> {
        let sql = "\
            UPDATE embedded_partition p SET next_offset = r.next_offset
            FROM unnest($1, $2, $3) AS r (topic, partition_number, next_offset)
            WHERE p.topic = r.topic AND p.partition_number = r.partition_number";
        let (topics, partitions) = self.columns();
        Statement::<()>::new(sql)
            .bind::<Array<Text>, _>(topics)
            .bind::<Array<Integer>, _>(partitions)
            .bind::<Array<BigInt>, _>(self.next_offsets.values().copied().collect::<Vec<_>>())
            .run(connection)
            .await?;
        Ok(())
    }
}
