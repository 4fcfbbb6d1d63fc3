//! The production log, read as topics.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::{
    QueryResult, Queryable,
    sql_types::{Array, BigInt, Binary, Integer, Nullable, Text},
};
use diesel_async::AsyncPgConnection;
use futures_util::try_join;

use super::{
    PostgresStore,
    pool::{Batch, Unit, checkout},
    statement::Statement,
};
use crate::{
    broker::TopicPartition,
    clock::Timestamp,
    envelope::{Envelope, IdSource, headers_from_json},
    error::Result,
    listen::Start,
    store::{EmbeddedStore, LoggedMessage},
    stores::schema::UtcTimestamp,
};

#[async_trait]
impl EmbeddedStore for PostgresStore {
    async fn ensure_topics(&self, topics: &[String], partitions: u32, now: Timestamp) -> Result<Vec<TopicPartition>> {
        let unit = Unit::on(&self.pool).await?;
        let connection = unit.connection()?;
        let names: Vec<_> = topics.iter().map(String::as_str).collect();
        let ((), ()) = try_join!(connection.begin(), make_topics(connection, &names, partitions, now))?;
        let sql = "\
            SELECT p.topic, p.partition_number FROM unnest($1) WITH ORDINALITY AS r (topic, n)
            JOIN embedded_partition p ON p.topic = r.topic
            ORDER BY r.n, p.partition_number";
        let found: Vec<(String, i32)> =
            Statement::<(Text, Integer)>::new(sql).bind::<Array<Text>, _>(names).rows(connection).await?;
        unit.commit().await?;
        Ok(found.into_iter().map(|(topic, partition)| TopicPartition { topic, partition }).collect())
    }

    async fn positions(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        start: Start,
        now: Timestamp,
    ) -> Result<Vec<i64>> {
        let unit = Unit::on(&self.pool).await?;
        let connection = unit.connection()?;
        let ((), (), positions) = try_join!(
            connection.begin(),
            enter_positions(connection, group, partitions, start, now),
            read_positions(connection, group, partitions),
        )?;
        unit.commit().await?;
        Ok(positions)
    }

    async fn read(&self, from: &[(TopicPartition, i64)], limit: u32) -> Result<Vec<LoggedMessage>> {
        let connection = checkout(&self.pool).await?;
        Ok(read_fairly(&connection, from, limit).await?)
    }
}

/// Makes the topics that are not there. Two instances that disagree about the number of partitions must not both make
/// some, so one topic is made at a time.
pub(super) async fn make_topics(
    connection: &AsyncPgConnection,
    topics: &[&str],
    partitions: u32,
    now: Timestamp,
) -> QueryResult<()> {
    let lock = "SELECT pg_advisory_xact_lock(8314427613370582)";
    let sql = "\
        INSERT INTO embedded_partition (topic, partition_number, next_offset, created_at)
        SELECT DISTINCT r.topic, n, 0, $3 FROM unnest($1) AS r (topic), generate_series(0, $2 - 1) AS n
        WHERE NOT EXISTS (SELECT FROM embedded_partition p WHERE p.topic = r.topic)";
    let insert = Statement::<()>::new(sql)
        .bind::<Array<Text>, _>(topics)
        .bind::<Integer, _>(i32::try_from(partitions).unwrap_or(i32::MAX).max(1))
        .bind::<UtcTimestamp, _>(now)
        .run(connection);
    try_join!(connection.batch(lock), insert)?;
    Ok(())
}

/// Writes down where a group begins in the partitions that are new to it.
async fn enter_positions(
    connection: &AsyncPgConnection,
    group: &str,
    partitions: &[TopicPartition],
    start: Start,
    now: Timestamp,
) -> QueryResult<()> {
    let sql = "\
        INSERT INTO embedded_position (consumer_group, topic, partition_number, next_offset, updated_at)
        SELECT $1, r.topic, r.partition_number, CASE WHEN $2 THEN coalesce(p.next_offset, 0) ELSE 0 END, $3
        FROM unnest($4, $5) AS r (topic, partition_number)
        LEFT JOIN embedded_partition p ON p.topic = r.topic AND p.partition_number = r.partition_number
        ORDER BY r.topic, r.partition_number
        ON CONFLICT DO NOTHING";
    Statement::<()>::new(sql)
        .bind::<Text, _>(group)
        .bind::<diesel::sql_types::Bool, _>(start == Start::Latest)
        .bind::<UtcTimestamp, _>(now)
        .bind::<Array<Text>, _>(partitions.iter().map(|partition| partition.topic.as_str()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(partitions.iter().map(|partition| partition.partition).collect::<Vec<_>>())
        .run(connection)
        .await?;
    Ok(())
}

async fn read_positions(
    connection: &AsyncPgConnection,
    group: &str,
    partitions: &[TopicPartition],
) -> QueryResult<Vec<i64>> {
    let sql = "\
        SELECT p.next_offset FROM unnest($2, $3) WITH ORDINALITY AS r (topic, partition_number, n)
        JOIN embedded_position p ON p.consumer_group = $1 AND p.topic = r.topic
            AND p.partition_number = r.partition_number
        ORDER BY r.n";
    Statement::<BigInt>::new(sql)
        .bind::<Text, _>(group)
        .bind::<Array<Text>, _>(partitions.iter().map(|partition| partition.topic.as_str()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(partitions.iter().map(|partition| partition.partition).collect::<Vec<_>>())
        .rows(connection)
        .await
}

/// Reads an equal share of every partition, then what room is left from those that have more.
async fn read_fairly(
    connection: &AsyncPgConnection,
    from: &[(TopicPartition, i64)],
    limit: u32,
) -> QueryResult<Vec<LoggedMessage>> {
    let mut messages: Vec<LoggedMessage> = Vec::new();
    let mut more: Vec<(usize, i64)> = (0..).zip(from.iter().map(|(_, offset)| *offset)).collect();
    let mut room = usize::try_from(limit).unwrap_or(usize::MAX);
    while room > 0 && !more.is_empty() {
        let share = room.div_ceil(more.len());
        let rows = read_share(connection, from, &more, share, room).await?;
        room -= rows.len().min(room);
        let mut read = vec![(0_usize, 0_i64); more.len()];
        for row in rows {
            let Some(at) = usize::try_from(row.n).ok().and_then(|n| n.checked_sub(1)).filter(|at| *at < more.len())
            else {
                continue;
            };
            read[at] = (read[at].0 + 1, row.offset + 1);
            messages.push(row.into_message(more[at].0));
        }
        let unread = |(at, (count, next)): (&(usize, i64), (usize, i64))| (count == share).then_some((at.0, next));
        more = more.iter().zip(read).filter_map(unread).collect();
    }
    messages.sort_by_key(|message| (message.partition, message.offset));
    Ok(messages)
}

/// Reads at most `share` messages of each of these partitions, and `room` in all.
async fn read_share(
    connection: &AsyncPgConnection,
    from: &[(TopicPartition, i64)],
    wanted: &[(usize, i64)],
    share: usize,
    room: usize,
) -> QueryResult<Vec<LoggedRow>> {
    let sql = "\
        SELECT r.n, l.*
        FROM unnest($1, $2, $3) WITH ORDINALITY AS r (topic, partition_number, begins_at, n),
            LATERAL (
                SELECT p.\"offset\", p.event_id, p.event_type, p.payload, p.event_key, p.content_type,
                    p.correlation_id, p.causation_id, p.traceparent, p.headers
                FROM event_production_log p
                WHERE p.topic = r.topic AND p.partition_number = r.partition_number AND p.\"offset\" >= r.begins_at
                ORDER BY p.\"offset\"
                LIMIT $4) l
        LIMIT $5";
    let partitions = || wanted.iter().map(|(at, _)| &from[*at].0);
    Statement::<LoggedSql>::new(sql)
        .bind::<Array<Text>, _>(partitions().map(|partition| partition.topic.as_str()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(partitions().map(|partition| partition.partition).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(wanted.iter().map(|(_, offset)| *offset).collect::<Vec<_>>())
        .bind::<BigInt, _>(i64::try_from(share).unwrap_or(i64::MAX))
        .bind::<BigInt, _>(i64::try_from(room).unwrap_or(i64::MAX))
        .rows(connection)
        .await
}

type LoggedSql = (
    BigInt,
    BigInt,
    Text,
    Text,
    Nullable<Binary>,
    Nullable<Binary>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
);

#[derive(Queryable)]
struct LoggedRow {
    /// Which of the partitions asked for; the first is 1.
    n: i64,
    offset: i64,
    event_id: String,
    event_type: String,
    payload: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    content_type: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    traceparent: Option<String>,
    headers: Option<String>,
}

impl LoggedRow {
    fn into_message(self, partition: usize) -> LoggedMessage {
        let envelope = Envelope {
            event_id: self.event_id,
            id_source: IdSource::Publisher,
            event_type: Some(self.event_type),
            payload: self.payload,
            key: self.key,
            content_type: self.content_type,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            traceparent: self.traceparent,
            headers: headers_from_json(self.headers.as_deref()),
        };
        LoggedMessage { partition, offset: self.offset, envelope: Arc::new(envelope) }
    }
}
