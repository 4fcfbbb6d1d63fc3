//! The limit of consuming: one thread reads ahead, another writes, two transactions a batch.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    time::{Duration, Instant},
};

use rusqlite::{Connection, Statement, params};
use tracked_events::{TrackedEvent, envelope::hash};

use super::{
    super::{
        BATCH,
        backlog::{PARTITIONS, ParcelScanned},
        listeners::SERVICE,
        message::Message,
        rig::Result,
    },
    now, open,
};

pub(super) const READ: &str = "SELECT offset, event_id, event_type, payload, event_key, content_type, correlation_id,
         causation_id, traceparent, headers
     FROM event_production_log WHERE topic = ?1 AND partition_number = ?2 AND offset >= ?3 ORDER BY offset LIMIT ?4";
const ENTER: &str = "INSERT INTO idempotency_key (consumer_group, handler_name, event_id, replay_id, checksum,
         processed_at, consumption_id)
     VALUES (?1, ?2, ?3, '', ?4, ?5, ?6) ON CONFLICT DO NOTHING";
const INSERT: &str = "INSERT INTO event_consumption_log (id, event_id, service_name, topic, partition_number, offset,
         consumer_group, event_type, payload, status, correlation_id, received_at, created_at, handler_name,
         event_key, causation_id, content_type, headers, traceparent)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?3, ?7, ?8, 'PROCESSING', ?9, ?10, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
const MOVE: &str = "INSERT INTO embedded_position (consumer_group, topic, partition_number, next_offset, updated_at)
     VALUES (?1, ?2, ?3, ?4, ?5)
     ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset, updated_at = excluded.updated_at";
pub(super) const SETTLE: &str = "UPDATE event_consumption_log
     SET status = 'PROCESSED', processing_time_ms = ?2, processed_at = ?3, updated_at = ?3
     WHERE id = ?1 AND status = 'PROCESSING'";
pub(super) const ATTEMPT: &str = "INSERT INTO event_attempt (consumption_id, event_id, attempt_number, handler_name,
         instance_id, started_at, completed_at, status, processing_time_ms)
     VALUES (?1, ?2, 1, ?3, 'by-hand', ?4, ?5, 'SUCCESS', ?6)";

/// Consumes everything; how long it took.
pub(super) fn consume(url: &str, events: usize, handler: &str) -> Result<Duration> {
    let (connection, reader) = (open(url)?, open(url)?);
    let mut writer = Writer::new(&connection, handler)?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let batches = read_ahead(scope, reader);
        let mut consumed = 0;
        while consumed < events {
            let batch = batches.recv()?;
            let first_id = writer.admit(&batch)?;
            writer.handle_and_settle(first_id, &batch)?;
            consumed += batch.len();
        }
        Ok(began.elapsed())
    })
}

/// Reads batch after batch on a thread of its own, a little ahead of the writer.
pub(super) fn read_ahead<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    connection: Connection,
) -> Receiver<Vec<Message>> {
    let (batches, reader) = sync_channel(2);
    scope.spawn(move || -> Result<()> {
        let mut read = connection.prepare(READ)?;
        let mut next = [0_i64; PARTITIONS];
        loop {
            let batch = read_batch(&mut read, &mut next)?;
            // The other end goes when everything is consumed.
            if batch.is_empty() || batches.send(batch).is_err() {
                return Ok(());
            }
        }
    });
    reader
}

/// A share of each partition, and what room is left from whoever has more.
fn read_batch(read: &mut Statement<'_>, next: &mut [i64; PARTITIONS]) -> Result<Vec<Message>> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut more: Vec<usize> = (0..PARTITIONS).collect();
    while !more.is_empty() && batch.len() < BATCH {
        let share = (BATCH - batch.len()).div_ceil(more.len());
        let mut unread = Vec::new();
        for partition in more {
            let share = share.min(BATCH - batch.len());
            let before = batch.len();
            let mut rows = read.query(params![
                ParcelScanned::TOPIC,
                i64::try_from(partition)?,
                next[partition],
                i64::try_from(share)?
            ])?;
            while let Some(row) = rows.next()? {
                batch.push(message(i32::try_from(partition)?, row)?);
            }
            if let Some(last) = batch[before..].last() {
                next[partition] = last.offset + 1;
            }
            if share > 0 && batch.len() - before == share {
                unread.push(partition);
            }
        }
        more = unread;
    }
    Ok(batch)
}

fn message(partition: i32, row: &rusqlite::Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        partition,
        offset: row.get(0)?,
        event_id: row.get(1)?,
        event_type: row.get(2)?,
        payload: row.get(3)?,
        key: row.get(4)?,
        content_type: row.get(5)?,
        correlation_id: row.get(6)?,
        causation_id: row.get(7)?,
        traceparent: row.get(8)?,
        headers: row.get(9)?,
    })
}

/// The connection that writes, with its statements prepared.
pub(super) struct Writer<'c> {
    connection: &'c Connection,
    enter: Statement<'c>,
    insert: Statement<'c>,
    move_on: Statement<'c>,
    settle: Statement<'c>,
    attempt: Statement<'c>,
    handler: &'c str,
    next_id: i64,
}

impl<'c> Writer<'c> {
    pub(super) fn new(connection: &'c Connection, handler: &'c str) -> Result<Self> {
        Ok(Self {
            enter: connection.prepare(ENTER)?,
            insert: connection.prepare(INSERT)?,
            move_on: connection.prepare(MOVE)?,
            settle: connection.prepare(SETTLE)?,
            attempt: connection.prepare(ATTEMPT)?,
            connection,
            handler,
            next_id: 1,
        })
    }

    /// Keys, rows as PROCESSING, and how far the partitions are read: one transaction. The first of the ids.
    pub(super) fn admit(&mut self, batch: &[Message]) -> Result<i64> {
        let (now, first_id) = (now()?, self.next_id);
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut next = [None; PARTITIONS];
        for message in batch {
            self.admit_one(message, &now)?;
            next[usize::try_from(message.partition)?] = Some(message.offset + 1);
        }
        for (partition, next) in (0_i64..).zip(next) {
            if let Some(next) = next {
                self.move_on.execute(params![SERVICE, ParcelScanned::TOPIC, partition, next, now])?;
            }
        }
        self.connection.execute_batch("COMMIT")?;
        Ok(first_id)
    }

    fn admit_one(&mut self, message: &Message, now: &str) -> Result<()> {
        let id = self.next_id;
        let checksum = message.payload.as_deref().map_or(0, hash);
        if self.enter.execute(params![SERVICE, self.handler, message.event_id, checksum, now, id])? != 1 {
            return Err("the backlog holds an event twice".into());
        }
        self.insert.execute(params![
            id,
            message.event_id,
            SERVICE,
            ParcelScanned::TOPIC,
            message.partition,
            message.offset,
            message.event_type,
            message.payload,
            message.correlation_id,
            now,
            self.handler,
            message.key,
            message.causation_id,
            message.content_type,
            message.headers,
            message.traceparent,
        ])?;
        self.next_id += 1;
        Ok(())
    }

    /// Runs the handler for each, and writes PROCESSED and the attempts in one transaction.
    fn handle_and_settle(&mut self, first_id: i64, batch: &[Message]) -> Result<()> {
        let ends: Vec<_> = batch.iter().map(handled).collect::<Result<_>>()?;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        for ((id, message), end) in (first_id..).zip(batch).zip(&ends) {
            self.settle_one(id, message, end)?;
        }
        self.connection.execute_batch("COMMIT")?;
        Ok(())
    }

    pub(super) fn settle_one(&mut self, id: i64, message: &Message, end: &End) -> Result<()> {
        self.settle.execute(params![id, end.took_ms, end.completed_at])?;
        self.attempt.execute(params![
            id,
            message.event_id,
            self.handler,
            end.started_at,
            end.completed_at,
            end.took_ms
        ])?;
        Ok(())
    }
}

/// How a run of the handler ended.
pub(super) struct End {
    started_at: String,
    completed_at: String,
    took_ms: i64,
}

pub(super) fn handled(message: &Message) -> Result<End> {
    let started_at = now()?;
    let took_ms = message.handle()?;
    Ok(End { started_at, completed_at: now()?, took_ms })
}
