//! The production log, read as topics.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::{
    QueryResult, Queryable,
    sql_types::{BigInt, Binary, Integer, Nullable, Text},
    sqlite::SqliteConnection,
};

use super::SqliteStore;
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
impl EmbeddedStore for SqliteStore {
    async fn ensure_topics(&self, topics: &[String], partitions: u32, now: Timestamp) -> Result<Vec<TopicPartition>> {
        let topics = topics.to_vec();
        self.write(move |connection| {
            let mut all = Vec::new();
            for topic in topics {
                let offsets = partitions_of(connection, &topic, partitions, now)?;
                all.extend((0..).zip(offsets).map(|(partition, _)| TopicPartition { topic: topic.clone(), partition }));
            }
            Ok(all)
        })
        .await
    }

    async fn positions(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        start: Start,
        now: Timestamp,
    ) -> Result<Vec<i64>> {
        let (group, partitions) = (group.to_owned(), partitions.to_vec());
        self.write(move |connection| {
            let positions = partitions.iter().map(|partition| position(connection, &group, partition, start, now));
            Ok(positions.collect::<QueryResult<_>>()?)
        })
        .await
    }

    async fn read(&self, from: &[(TopicPartition, i64)], limit: u32) -> Result<Vec<LoggedMessage>> {
        let from = from.to_vec();
        self.read(move |connection| Ok(read_fairly(connection, &from, limit)?)).await
    }
}

/// The next offset of every partition of a topic, which is made if it is not there.
pub(super) fn partitions_of(
    connection: &mut SqliteConnection,
    topic: &str,
    partitions: u32,
    now: Timestamp,
) -> QueryResult<Vec<i64>> {
    let offsets: Vec<i64> = load!(
        connection,
        "SELECT next_offset FROM embedded_partition WHERE topic = ?1 ORDER BY partition_number" => BigInt,
        Text = topic
    )?;
    if !offsets.is_empty() {
        return Ok(offsets);
    }
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX).max(1);
    for partition in 0..partitions {
        execute!(
            connection,
            "INSERT INTO embedded_partition (topic, partition_number, next_offset, created_at) VALUES (?1, ?2, 0, ?3)",
            Text = topic,
            Integer = partition,
            UtcTimestamp = now
        )?;
    }
    Ok((0..partitions).map(|_| 0).collect())
}

/// Where a group reads on, written down if it is new.
fn position(
    connection: &mut SqliteConnection,
    group: &str,
    partition: &TopicPartition,
    start: Start,
    now: Timestamp,
) -> QueryResult<i64> {
    let known = first!(
        connection,
        "SELECT next_offset FROM embedded_position
         WHERE consumer_group = ?1 AND topic = ?2 AND partition_number = ?3" => BigInt,
        Text = group,
        Text = partition.topic.as_str(),
        Integer = partition.partition
    )?;
    if let Some(known) = known {
        return Ok(known);
    }
    let begin = match start {
        Start::Earliest => 0,
        Start::Latest => first!(
            connection,
            "SELECT next_offset FROM embedded_partition WHERE topic = ?1 AND partition_number = ?2" => BigInt,
            Text = partition.topic.as_str(),
            Integer = partition.partition
        )?
        .unwrap_or(0),
    };
    execute!(
        connection,
        "INSERT INTO embedded_position (consumer_group, topic, partition_number, next_offset, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        Text = group,
        Text = partition.topic.as_str(),
        Integer = partition.partition,
        BigInt = begin,
        UtcTimestamp = now
    )?;
    Ok(begin)
}

/// Reads an equal share of every partition, then what room is left from those that have more.
fn read_fairly(
    connection: &mut SqliteConnection,
    from: &[(TopicPartition, i64)],
    limit: u32,
) -> QueryResult<Vec<LoggedMessage>> {
    let mut messages: Vec<LoggedMessage> = Vec::new();
    let mut more: Vec<(usize, i64)> = (0..).zip(from.iter().map(|(_, offset)| *offset)).collect();
    let mut room = usize::try_from(limit).unwrap_or(usize::MAX);
    while room > 0 && !more.is_empty() {
        let share = room.div_ceil(more.len());
        let mut unread = Vec::new();
        for (at, offset) in more {
            let share = share.min(room);
            if share == 0 {
                break;
            }
            let read = read_partition(connection, at, &from[at].0, offset, share)?;
            room -= read.len();
            if let Some(last) = read.last().filter(|_| read.len() == share) {
                unread.push((at, last.offset + 1));
            }
            messages.extend(read);
        }
        more = unread;
    }
    messages.sort_by_key(|message| (message.partition, message.offset));
    Ok(messages)
}

fn read_partition(
    connection: &mut SqliteConnection,
    at: usize,
    partition: &TopicPartition,
    offset: i64,
    limit: usize,
) -> QueryResult<Vec<LoggedMessage>> {
    let rows: Vec<LoggedRow> = load!(
        connection,
        "SELECT offset, event_id, event_type, payload, event_key, content_type, correlation_id, causation_id,
             traceparent, headers
         FROM event_production_log
         WHERE topic = ?1 AND partition_number = ?2 AND offset >= ?3
         ORDER BY offset LIMIT ?4" => LoggedSql,
        Text = partition.topic.as_str(),
        Integer = partition.partition,
        BigInt = offset,
        BigInt = i64::try_from(limit).unwrap_or(i64::MAX)
    )?;
    Ok(rows.into_iter().map(|row| row.into_message(at)).collect())
}

type LoggedSql = (
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
