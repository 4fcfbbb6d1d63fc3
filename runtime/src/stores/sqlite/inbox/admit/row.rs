//! Rows of the consumption log, as they enter.

use std::borrow::Cow;

use diesel::{
    QueryResult,
    sql_types::{BigInt, Binary, Integer, Nullable, Text},
    sqlite::SqliteConnection,
};

use crate::{
    clock::TimestampText,
    envelope::{headers_to_json, storable},
    store::{Admission, Arrival, ConsumptionStatus, LogId},
    stores::{schema::UtcTimestamp, unwanted},
};

/// A row that enters.
pub(super) struct Row<'a> {
    id: LogId,
    arrival: &'a Arrival,
    status: ConsumptionStatus,
    content: Content,
    error_message: Option<Cow<'a, str>>,
    metadata: Option<String>,
}

/// Whether a row keeps what it is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Kept,
    Known,
}

impl<'a> Row<'a> {
    pub(super) fn new(id: LogId, arrival: &'a Arrival, status: ConsumptionStatus) -> Self {
        Self { id, arrival, status, content: Content::Kept, error_message: None, metadata: None }
    }

    /// A second delivery, whose content the first row has.
    pub(super) fn duplicate(id: LogId, arrival: &'a Arrival, of: LogId) -> Self {
        let metadata = Some(format!(r#"{{"duplicate_of":{of}}}"#));
        Self { content: Content::Known, metadata, ..Self::new(id, arrival, ConsumptionStatus::Duplicate) }
    }

    /// Another content under an id that is taken.
    pub(super) fn conflict(id: LogId, arrival: &'a Arrival, with: LogId) -> Self {
        let metadata = Some(format!(r#"{{"conflicts_with":{with}}}"#));
        Self { metadata, ..Self::invalid(id, arrival, "same id, other content") }
    }

    /// What nobody in the group handles.
    pub(super) fn unwanted(id: LogId, arrival: &'a Arrival, group: &str) -> Self {
        let reason = unwanted::reason(&arrival.event_type, group);
        let error_message = Some(Cow::Owned(storable(&reason).into_owned()));
        Self { error_message, ..Self::new(id, arrival, ConsumptionStatus::NoHandler) }
    }

    /// What cannot be handled.
    pub(super) fn invalid(id: LogId, arrival: &'a Arrival, reason: &'a str) -> Self {
        let error_message = Some(storable(reason));
        Self { error_message, ..Self::new(id, arrival, ConsumptionStatus::Invalid) }
    }
}

pub(super) fn insert(
    connection: &mut SqliteConnection,
    batch: &Admission,
    row: &Row<'_>,
    now: &TimestampText,
) -> QueryResult<()> {
    let (arrival, envelope) = (row.arrival, &*row.arrival.envelope);
    let kept = row.content == Content::Kept;
    let settled = matches!(row.status, ConsumptionStatus::Invalid | ConsumptionStatus::Duplicate);
    execute!(
        connection,
        "INSERT INTO event_consumption_log (id, event_id, service_name, topic, partition_number, offset,
             consumer_group, event_type, payload, status, max_retries, error_message, correlation_id, received_at,
             processed_at, created_at, metadata, handler_name, event_key, key_hash, causation_id, content_type,
             headers, traceparent, replay_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?14, ?16, ?17, ?18, ?19, ?20, ?21,
             ?22, ?23, ?24)",
        BigInt = row.id,
        Text = envelope.event_id.as_str(),
        Text = batch.service.as_str(),
        Text = arrival.topic.as_str(),
        Nullable<Integer> = arrival.partition,
        Nullable<BigInt> = arrival.offset,
        Text = batch.group.as_str(),
        Text = arrival.event_type.as_str(),
        Nullable<Binary> = envelope.payload.as_deref().filter(|_| kept),
        Text = row.status.as_str(),
        Integer = i32::try_from(arrival.max_retries).unwrap_or(i32::MAX),
        Nullable<Text> = row.error_message.as_deref(),
        Nullable<Text> = envelope.correlation_id.as_deref(),
        UtcTimestamp = *now,
        Nullable<UtcTimestamp> = settled.then_some(*now),
        Nullable<Text> = row.metadata.as_deref(),
        Text = arrival.listener.as_str(),
        Nullable<Binary> = envelope.key.as_deref(),
        Nullable<BigInt> = arrival.key_hash,
        Nullable<Text> = envelope.causation_id.as_deref(),
        Nullable<Text> = envelope.content_type.as_deref(),
        Nullable<Text> = if kept { headers_to_json(&envelope.headers) } else { None },
        Nullable<Text> = envelope.traceparent.as_deref(),
        Text = arrival.replay_id.as_str()
    )?;
    Ok(())
}

/// Gives a NO_HANDLER row to the listener that wants it now. `false` when it is that no longer.
pub(super) fn reopen(
    connection: &mut SqliteConnection,
    id: LogId,
    arrival: &Arrival,
    now: &TimestampText,
) -> QueryResult<bool> {
    let changed = execute!(
        connection,
        "UPDATE event_consumption_log
         SET status = 'RECEIVED', handler_name = ?2, event_type = ?3, max_retries = ?4, key_hash = ?5, updated_at = ?6,
             error_message = NULL
         WHERE id = ?1 AND status = 'NO_HANDLER'",
        BigInt = id,
        Text = arrival.listener.as_str(),
        Text = arrival.event_type.as_str(),
        Integer = i32::try_from(arrival.max_retries).unwrap_or(i32::MAX),
        Nullable<BigInt> = arrival.key_hash,
        UtcTimestamp = *now
    )?;
    Ok(changed == 1)
}
