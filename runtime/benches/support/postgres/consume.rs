//! The limit of consuming: a loop for each connection, each with its own partitions; a batch is two statements, each a
//! transaction, and the next one is read while it is admitted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use futures_util::{future::try_join_all, try_join};
use tokio_postgres::{Client, Statement};
use tracked_events::{TrackedEvent, envelope::hash};

use super::{
    super::{BATCH, backlog::ParcelScanned, listeners::SERVICE, message::Message, rig::Result},
    CONNECTIONS, connect, partitions_of,
};

const READ: &str = "SELECT f.partition_number, m.*
     FROM unnest($2::int[], $3::bigint[]) AS f (partition_number, next_offset)
     CROSS JOIN LATERAL (
         SELECT \"offset\", event_id, event_type, payload, event_key, content_type, correlation_id, causation_id,
             traceparent, headers
         FROM event_production_log p
         WHERE p.topic = $1 AND p.partition_number = f.partition_number AND p.\"offset\" >= f.next_offset
         ORDER BY \"offset\" LIMIT $4) m";
const ADMIT: &str = "WITH moved AS (
         INSERT INTO embedded_position (consumer_group, topic, partition_number, next_offset, updated_at)
         SELECT $1, $2, partition_number, max(\"offset\") + 1, $4
         FROM unnest($6::int[], $7::bigint[]) AS r (partition_number, \"offset\") GROUP BY partition_number
         ON CONFLICT (consumer_group, topic, partition_number)
             DO UPDATE SET next_offset = excluded.next_offset, updated_at = excluded.updated_at),
     entered AS (
         INSERT INTO idempotency_key (consumer_group, handler_name, event_id, checksum, processed_at, consumption_id)
         SELECT $1, $3, event_id, checksum, $4, $5 + n
         FROM unnest($8::text[], $17::bigint[]) WITH ORDINALITY AS r (event_id, checksum, n)
         ON CONFLICT DO NOTHING RETURNING consumption_id)
     INSERT INTO event_consumption_log (id, event_id, service_name, topic, partition_number, \"offset\",
         consumer_group, event_type, payload, status, correlation_id, received_at, created_at, handler_name, event_key,
         causation_id, content_type, traceparent, headers)
     SELECT $5 + n, event_id, $1, $2, partition_number, \"offset\", $1, event_type, payload, 'PROCESSING',
         correlation_id, $4, $4, $3, event_key, causation_id, content_type, traceparent, headers
     FROM unnest($6::int[], $7::bigint[], $8::text[], $9::text[], $10::bytea[], $11::bytea[], $12::text[],
             $13::text[], $14::text[], $15::text[], $16::text[]) WITH ORDINALITY
         AS r (partition_number, \"offset\", event_id, event_type, payload, event_key, content_type, correlation_id,
             causation_id, traceparent, headers, n)
     WHERE $5 + n IN (SELECT consumption_id FROM entered)";
const SETTLE: &str = "WITH done AS MATERIALIZED (
         SELECT * FROM unnest($3::bigint[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::bigint[])
             AS r (id, event_id, started_at, completed_at, took_ms)),
     settled AS (
         UPDATE event_consumption_log l
         SET status = 'PROCESSED', processing_time_ms = took_ms, processed_at = completed_at, updated_at = completed_at
         FROM done WHERE l.id = done.id AND l.created_at = $2 AND l.status = 'PROCESSING')
     INSERT INTO event_attempt (consumption_id, event_id, attempt_number, handler_name, instance_id, started_at,
         completed_at, status, processing_time_ms)
     SELECT id, event_id, 1, $1, 'by-hand', started_at, completed_at, 'SUCCESS', took_ms FROM done";

/// Consumes everything; how long it took.
pub(super) async fn consume(url: &str, events: usize, handler: &'static str) -> Result<Duration> {
    let next_id = Arc::new(AtomicI64::new(1));
    let mut loops = Vec::new();
    for part in 0..CONNECTIONS {
        loops.push(Loop::new(url, handler, partitions_of(part, CONNECTIONS), Arc::clone(&next_id)).await?);
    }
    let began = Instant::now();
    let consumed = try_join_all(loops.into_iter().map(|consumer| tokio::spawn(consumer.run()))).await?;
    let took = began.elapsed();
    let consumed: usize = consumed.into_iter().sum::<Result<usize>>()?;
    if consumed == events { Ok(took) } else { Err(format!("consumed {consumed} of {events}").into()) }
}

/// A connection and the partitions that it consumes.
pub(super) struct Loop {
    pub(super) client: Client,
    read: Statement,
    admit: Statement,
    settle: Statement,
    handler: &'static str,
    partitions: Vec<i32>,
    next_offsets: Vec<i64>,
    next_id: Arc<AtomicI64>,
}

/// Rows that were admitted together.
pub(super) struct Admitted {
    pub(super) first_id: i64,
    pub(super) at: SystemTime,
}

impl Loop {
    pub(super) async fn new(
        url: &str,
        handler: &'static str,
        partitions: Vec<i32>,
        next_id: Arc<AtomicI64>,
    ) -> Result<Self> {
        let client = connect(url).await?;
        let (read, admit, settle) = try_join!(client.prepare(READ), client.prepare(ADMIT), client.prepare(SETTLE))?;
        let next_offsets = vec![0; partitions.len()];
        Ok(Self { client, read, admit, settle, handler, partitions, next_offsets, next_id })
    }

    async fn run(mut self) -> Result<usize> {
        let mut consumed = 0;
        let mut batch = self.read().await?;
        while !batch.is_empty() {
            self.pass(&batch);
            let (admitted, ahead) = try_join!(self.admit(&batch), self.read())?;
            self.handle_and_settle(&admitted, &batch).await?;
            consumed += batch.len();
            batch = ahead;
        }
        Ok(consumed)
    }

    /// The next messages, of every partition as many.
    pub(super) async fn read(&self) -> Result<Vec<Message>> {
        let share = i64::try_from(BATCH / self.partitions.len())?;
        let rows = self
            .client
            .query(&self.read, &[&ParcelScanned::TOPIC, &self.partitions, &self.next_offsets, &share])
            .await?;
        Ok(rows.iter().map(message).collect())
    }

    /// Reads on behind these.
    pub(super) fn pass(&mut self, batch: &[Message]) {
        for message in batch {
            if let Some(at) = self.partitions.iter().position(|own| *own == message.partition) {
                self.next_offsets[at] = message.offset + 1;
            }
        }
    }

    /// Keys, rows as PROCESSING, and how far the partitions are read: one statement, one transaction.
    pub(super) async fn admit(&self, batch: &[Message]) -> Result<Admitted> {
        let count = i64::try_from(batch.len())?;
        let (first_id, at) = (self.next_id.fetch_add(count, Ordering::Relaxed), SystemTime::now());
        let partitions: Vec<_> = batch.iter().map(|message| message.partition).collect();
        let offsets: Vec<_> = batch.iter().map(|message| message.offset).collect();
        let event_ids: Vec<_> = batch.iter().map(|message| message.event_id.as_str()).collect();
        let event_types: Vec<_> = batch.iter().map(|message| message.event_type.as_str()).collect();
        let payloads: Vec<_> = batch.iter().map(|message| message.payload.as_deref()).collect();
        let keys: Vec<_> = batch.iter().map(|message| message.key.as_deref()).collect();
        let content_types: Vec<_> = batch.iter().map(|message| message.content_type.as_deref()).collect();
        let correlation_ids: Vec<_> = batch.iter().map(|message| message.correlation_id.as_deref()).collect();
        let causation_ids: Vec<_> = batch.iter().map(|message| message.causation_id.as_deref()).collect();
        let traceparents: Vec<_> = batch.iter().map(|message| message.traceparent.as_deref()).collect();
        let headers: Vec<_> = batch.iter().map(|message| message.headers.as_deref()).collect();
        let checksums: Vec<_> = batch.iter().map(|message| message.payload.as_deref().map_or(0, hash)).collect();
        let before_first = first_id - 1;
        let inserted = self
            .client
            .execute(
                &self.admit,
                &[
                    &SERVICE,
                    &ParcelScanned::TOPIC,
                    &self.handler,
                    &at,
                    &before_first,
                    &partitions,
                    &offsets,
                    &event_ids,
                    &event_types,
                    &payloads,
                    &keys,
                    &content_types,
                    &correlation_ids,
                    &causation_ids,
                    &traceparents,
                    &headers,
                    &checksums,
                ],
            )
            .await?;
        if usize::try_from(inserted)? != batch.len() {
            return Err("the backlog holds an event twice".into());
        }
        Ok(Admitted { first_id, at })
    }

    /// Runs the handler for each, and writes PROCESSED and the attempts: one statement, one transaction.
    async fn handle_and_settle(&self, admitted: &Admitted, batch: &[Message]) -> Result<()> {
        let mut runs = Runs::default();
        for (id, message) in (admitted.first_id..).zip(batch) {
            runs.handle(id, message)?;
        }
        self.settle(admitted, &runs).await
    }

    pub(super) async fn settle(&self, admitted: &Admitted, runs: &Runs<'_>) -> Result<()> {
        let settled = self
            .client
            .execute(
                &self.settle,
                &[
                    &self.handler,
                    &admitted.at,
                    &runs.ids,
                    &runs.event_ids,
                    &runs.started_at,
                    &runs.completed_at,
                    &runs.took_ms,
                ],
            )
            .await?;
        if usize::try_from(settled)? == runs.ids.len() { Ok(()) } else { Err("attempts are missing".into()) }
    }
}

/// Runs of the handler, in columns.
#[derive(Default)]
pub(super) struct Runs<'a> {
    ids: Vec<i64>,
    event_ids: Vec<&'a str>,
    started_at: Vec<SystemTime>,
    completed_at: Vec<SystemTime>,
    took_ms: Vec<i64>,
}

impl<'a> Runs<'a> {
    pub(super) fn handle(&mut self, id: i64, message: &'a Message) -> Result<()> {
        self.started_at.push(SystemTime::now());
        self.took_ms.push(message.handle()?);
        self.completed_at.push(SystemTime::now());
        self.ids.push(id);
        self.event_ids.push(&message.event_id);
        Ok(())
    }
}

fn message(row: &tokio_postgres::Row) -> Message {
    Message {
        partition: row.get(0),
        offset: row.get(1),
        event_id: row.get(2),
        event_type: row.get(3),
        payload: row.get(4),
        key: row.get(5),
        content_type: row.get(6),
        correlation_id: row.get(7),
        causation_id: row.get(8),
        traceparent: row.get(9),
        headers: row.get(10),
    }
}
