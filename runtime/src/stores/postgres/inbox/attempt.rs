//! Rows of `event_attempt`.

use std::borrow::Cow;

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, Text},
};
use diesel_async::AsyncPgConnection;

use crate::{
    clock::Timestamp,
    envelope::storable,
    store::{AttemptStatus, Disposition, LogId, Settlement},
    stores::{
        postgres::{columns::Column, statement::Statement},
        schema::UtcTimestamp,
    },
};

/// An attempt that enters.
pub(super) struct NewAttempt<'a> {
    pub(super) id: LogId,
    pub(super) event_id: Cow<'a, str>,
    pub(super) listener: &'a str,
    /// Whether earlier attempts are possible, so that they are to be counted.
    pub(super) repeated: bool,
    pub(super) started_at: Timestamp,
    pub(super) completed_at: Timestamp,
    pub(super) status: AttemptStatus,
    pub(super) error: Option<Cow<'a, str>>,
    pub(super) stack_trace: Option<Cow<'a, str>>,
    pub(super) duration_ms: i64,
    pub(super) delay_ms: Option<i64>,
}

impl<'a> NewAttempt<'a> {
    /// The attempt that a settlement ends, if it was started. A row without a row of open work is at its first.
    pub(super) fn of(settlement: &'a Settlement) -> Option<Self> {
        let attempt = settlement.attempt.as_ref()?;
        let delay_ms = match settlement.disposition {
            Disposition::Retry { delay, .. } => Some(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)),
            _ => None,
        };
        Some(Self {
            id: settlement.id,
            event_id: storable(&settlement.event_id),
            listener: &settlement.listener,
            repeated: settlement.queued,
            started_at: attempt.started_at,
            completed_at: attempt.completed_at,
            status: attempt.status,
            error: attempt.error.as_deref().map(storable),
            stack_trace: attempt.stack_trace.as_deref().map(storable),
            duration_ms: i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX),
            delay_ms,
        })
    }
}

const INSERT: &str = "\
INSERT INTO event_attempt (instance_id, consumption_id, event_id, handler_name, attempt_number, started_at, completed_at,
    status, error_message, error_stack_trace, processing_time_ms, retry_delay_ms)
SELECT $1, r.id, r.event_id, coalesce(r.handler_name, $5),
    CASE WHEN coalesce(r.repeated, $7)
        THEN (SELECT coalesce(max(a.attempt_number), 0) + 1 FROM event_attempt a WHERE a.consumption_id = r.id)
        ELSE 1 END,
    coalesce(r.started_at, $9), coalesce(r.completed_at, $11), coalesce(r.status, $13), coalesce(r.error_message, $15),
    coalesce(r.error_stack_trace, $17), coalesce(r.processing_time_ms, $19), coalesce(r.retry_delay_ms, $21)
FROM unnest($2, $3, $4, $6, $8, $10, $12, $14, $16, $18, $20)
    AS r (id, event_id, handler_name, repeated, started_at, completed_at, status, error_message, error_stack_trace,
        processing_time_ms, retry_delay_ms)";

pub(super) async fn insert(
    connection: &AsyncPgConnection,
    instance: &str,
    attempts: &[NewAttempt<'_>],
) -> QueryResult<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    Statement::<()>::new(INSERT)
        .bind::<Text, _>(instance)
        .bind::<Array<BigInt>, _>(attempts.iter().map(|attempt| attempt.id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(attempts.iter().map(|attempt| &*attempt.event_id).collect::<Vec<_>>())
        .column::<Text, _>(Column::of(attempts.iter().map(|attempt| Some(attempt.listener))))
        .column::<Bool, _>(Column::of(attempts.iter().map(|attempt| Some(attempt.repeated))))
        .column::<UtcTimestamp, _>(Column::of(attempts.iter().map(|attempt| Some(attempt.started_at))))
        .column::<UtcTimestamp, _>(Column::of(attempts.iter().map(|attempt| Some(attempt.completed_at))))
        .column::<Text, _>(Column::of(attempts.iter().map(|attempt| Some(attempt.status.as_str()))))
        .column::<Text, _>(Column::of(attempts.iter().map(|attempt| attempt.error.as_deref())))
        .column::<Text, _>(Column::of(attempts.iter().map(|attempt| attempt.stack_trace.as_deref())))
        .column::<BigInt, _>(Column::of(attempts.iter().map(|attempt| Some(attempt.duration_ms))))
        .column::<BigInt, _>(Column::of(attempts.iter().map(|attempt| attempt.delay_ms)))
        .run(connection)
        .await?;
    Ok(())
}
