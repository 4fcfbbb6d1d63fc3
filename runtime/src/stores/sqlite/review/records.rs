//! Reading the record: by keyset, never by offset or count.

use diesel::{
    ExpressionMethods, JoinOnDsl, QueryDsl, Queryable, RunQueryDsl,
    sql_types::Bool,
    sqlite::{Sqlite, SqliteConnection},
};

use crate::{
    clock::Timestamp,
    error::Result,
    store::{ActionRecord, AttemptRecord, ConsumptionRecord, LogId, OpenWork, ProductionRecord, RecordQuery},
    stores::{
        schema::{
            event_attempt, event_consumption_log as consumed_log, event_production_log as produced_log, inbox_queue,
            operator_action,
        },
        sqlite::inbox::known,
    },
};

/// Adds the conditions that a query sets to a boxed select, whose columns both logs name alike.
macro_rules! matching {
    ($rows:expr, $query:expr, $log:ident) => {{
        let (mut rows, query) = ($rows, $query);
        if let Some(event_id) = &query.event_id {
            rows = rows.filter($log::event_id.eq(event_id));
        }
        if let Some(id) = query.id {
            rows = rows.filter($log::id.eq(id));
        }
        if let Some(status) = &query.status {
            rows = rows.filter($log::status.eq(status));
        }
        if let Some(topic) = &query.topic {
            rows = rows.filter($log::topic.eq(topic));
        }
        if let Some(event_type) = &query.event_type {
            rows = rows.filter($log::event_type.eq(event_type));
        }
        if let Some(key) = &query.key {
            rows = rows.filter($log::event_key.eq(key));
        }
        if let Some(correlation_id) = &query.correlation_id {
            rows = rows.filter($log::correlation_id.eq(correlation_id));
        }
        if let Some(from) = query.from {
            rows = rows.filter($log::created_at.ge(from));
        }
        if let Some(to) = query.to {
            rows = rows.filter($log::created_at.lt(to));
        }
        rows.limit(i64::from(query.limit))
    }};
}

/// The conditions that only the consumption log knows.
macro_rules! consumed_by {
    ($rows:expr, $query:expr) => {{
        let (mut rows, query) = ($rows, $query);
        if let Some(group) = &query.group {
            rows = rows.filter(consumed_log::consumer_group.eq(group));
        }
        if let Some(listener) = &query.listener {
            rows = rows.filter(consumed_log::handler_name.eq(listener));
        }
        rows
    }};
}

pub(super) fn consumed(connection: &mut SqliteConnection, query: &RecordQuery) -> Result<Vec<ConsumptionRecord>> {
    let rows = consumed_log::table.select(CONSUMED).into_boxed::<Sqlite>();
    let mut rows = consumed_by!(matching!(rows, query, consumed_log), query).order(consumed_log::id.desc());
    if let Some(before) = query.after_id {
        rows = rows.filter(consumed_log::id.lt(before));
    }
    rows.load::<ConsumedRow>(connection)?.into_iter().map(ConsumedRow::into_record).collect()
}

pub(super) fn for_review(connection: &mut SqliteConnection, query: &RecordQuery) -> Result<Vec<ConsumptionRecord>> {
    let reviewed =
        inbox_queue::table.inner_join(consumed_log::table.on(consumed_log::id.eq(inbox_queue::consumption_id)));
    // A literal: the partial index is not used for a placeholder.
    let waiting = diesel::dsl::sql::<Bool>("inbox_queue.state = 'review'");
    let rows = reviewed.filter(waiting).select(CONSUMED).into_boxed::<Sqlite>();
    let mut rows = consumed_by!(matching!(rows, query, consumed_log), query).order(inbox_queue::consumption_id.asc());
    if let Some(after) = query.after_id {
        rows = rows.filter(inbox_queue::consumption_id.gt(after));
    }
    rows.load::<ConsumedRow>(connection)?.into_iter().map(ConsumedRow::into_record).collect()
}

pub(super) fn produced(connection: &mut SqliteConnection, query: &RecordQuery) -> Result<Vec<ProductionRecord>> {
    if query.group.is_some() || query.listener.is_some() {
        // Groups and listeners consume; nothing published is of one.
        return Ok(Vec::new());
    }
    let rows = produced_log::table.select(PRODUCED).into_boxed::<Sqlite>();
    let mut rows = matching!(rows, query, produced_log).order(produced_log::id.desc());
    if let Some(before) = query.after_id {
        rows = rows.filter(produced_log::id.lt(before));
    }
    rows.load::<ProducedRow>(connection)?.into_iter().map(ProducedRow::into_record).collect()
}

pub(super) fn attempts(connection: &mut SqliteConnection, ids: &[LogId]) -> Result<Vec<AttemptRecord>> {
    use event_attempt as attempt;
    let mut found = Vec::new();
    for id in ids {
        let rows = attempt::table
            .filter(attempt::consumption_id.eq(id))
            .order(attempt::id.asc())
            .select((
                attempt::consumption_id,
                attempt::attempt_number,
                attempt::handler_name,
                attempt::instance_id,
                attempt::started_at,
                attempt::completed_at,
                attempt::status,
                attempt::error_message,
                attempt::error_stack_trace,
                attempt::processing_time_ms,
                attempt::retry_delay_ms,
            ))
            .load::<AttemptRow>(connection)?;
        for row in rows {
            found.push(row.into_record()?);
        }
    }
    Ok(found)
}

pub(super) fn actions(connection: &mut SqliteConnection, event_id: &str) -> Result<Vec<ActionRecord>> {
    use operator_action as action;
    let rows = action::table
        .filter(action::event_id.eq(event_id))
        .order(action::id.asc())
        .select((
            action::action,
            action::target_table,
            action::target_id,
            action::event_id,
            action::status_from,
            action::status_to,
            action::operator,
            action::reason,
            action::created_at,
        ))
        .load::<ActionRow>(connection)?;
    Ok(rows.into_iter().map(ActionRow::into_record).collect())
}

pub(super) fn open_work(connection: &mut SqliteConnection, ids: &[LogId]) -> Result<Vec<OpenWork>> {
    let mut found = Vec::new();
    for id in ids {
        let rows = inbox_queue::table
            .filter(inbox_queue::consumption_id.eq(id))
            .select((
                inbox_queue::consumption_id,
                inbox_queue::state,
                inbox_queue::due_at,
                inbox_queue::abandoned_count,
            ))
            .load::<(LogId, String, Timestamp, i32)>(connection)?;
        for (consumption_id, state, due_at, abandoned_count) in rows {
            found.push(OpenWork { consumption_id, state: known(&state)?, due_at, abandoned_count });
        }
    }
    Ok(found)
}

/// Defines a row: its columns, in order, and their types.
macro_rules! row {
    ($name:ident, $columns:ident: $columns_type:ident = $log:ident { $($column:ident: $ty:ty),* $(,)? }) => {
        type $columns_type = ($($log::$column,)*);
        const $columns: $columns_type = ($($log::$column,)*);

        #[derive(Queryable)]
        struct $name { $($column: $ty,)* }
    };
}

row!(ConsumedRow, CONSUMED: ConsumedColumns = consumed_log {
    id: LogId,
    event_id: String,
    service_name: String,
    topic: String,
    partition_number: Option<i32>,
    offset: Option<i64>,
    consumer_group: String,
    handler_name: String,
    event_type: String,
    event_key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    status: String,
    retry_count: i32,
    max_retries: i32,
    processing_time_ms: Option<i64>,
    error_message: Option<String>,
    error_stack_trace: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    headers: Option<String>,
    metadata: Option<String>,
    replay_id: String,
    redrive_count: i32,
    received_at: Timestamp,
    processed_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
});

impl ConsumedRow {
    fn into_record(self) -> Result<ConsumptionRecord> {
        Ok(ConsumptionRecord {
            id: self.id,
            event_id: self.event_id,
            service_name: self.service_name,
            topic: self.topic,
            partition_number: self.partition_number,
            offset: self.offset,
            consumer_group: self.consumer_group,
            handler_name: self.handler_name,
            event_type: self.event_type,
            event_key: self.event_key,
            payload: self.payload,
            status: known(&self.status)?,
            retry_count: self.retry_count,
            max_retries: self.max_retries,
            processing_time_ms: self.processing_time_ms,
            error_message: self.error_message,
            error_stack_trace: self.error_stack_trace,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            headers: self.headers,
            metadata: self.metadata,
            replay_id: self.replay_id,
            redrive_count: self.redrive_count,
            received_at: self.received_at,
            processed_at: self.processed_at,
            updated_at: self.updated_at,
        })
    }
}

row!(ProducedRow, PRODUCED: ProducedColumns = produced_log {
    id: LogId,
    event_id: String,
    service_name: String,
    topic: String,
    event_type: String,
    event_key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    status: String,
    kind: String,
    retry_count: i32,
    max_retries: i32,
    error_message: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    partition_number: Option<i32>,
    offset: Option<i64>,
    headers: Option<String>,
    created_at: Timestamp,
    published_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
});

impl ProducedRow {
    fn into_record(self) -> Result<ProductionRecord> {
        Ok(ProductionRecord {
            id: self.id,
            event_id: self.event_id,
            service_name: self.service_name,
            topic: self.topic,
            event_type: self.event_type,
            event_key: self.event_key,
            payload: self.payload,
            status: known(&self.status)?,
            kind: known(&self.kind)?,
            retry_count: self.retry_count,
            max_retries: self.max_retries,
            error_message: self.error_message,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            partition_number: self.partition_number,
            offset: self.offset,
            headers: self.headers,
            created_at: self.created_at,
            published_at: self.published_at,
            updated_at: self.updated_at,
        })
    }
}

#[derive(Queryable)]
struct AttemptRow {
    consumption_id: LogId,
    attempt_number: i32,
    handler_name: String,
    instance_id: String,
    started_at: Timestamp,
    completed_at: Timestamp,
    status: String,
    error_message: Option<String>,
    error_stack_trace: Option<String>,
    processing_time_ms: i64,
    retry_delay_ms: Option<i64>,
}

impl AttemptRow {
    fn into_record(self) -> Result<AttemptRecord> {
        Ok(AttemptRecord {
            consumption_id: self.consumption_id,
            attempt_number: self.attempt_number,
            handler_name: self.handler_name,
            instance_id: self.instance_id,
            started_at: self.started_at,
            completed_at: self.completed_at,
            status: known(&self.status)?,
            error_message: self.error_message,
            error_stack_trace: self.error_stack_trace,
            processing_time_ms: self.processing_time_ms,
            retry_delay_ms: self.retry_delay_ms,
        })
    }
}

#[derive(Queryable)]
struct ActionRow {
    action: String,
    target_table: String,
    target_id: LogId,
    event_id: String,
    status_from: String,
    status_to: String,
    operator: String,
    reason: Option<String>,
    created_at: Timestamp,
}

impl ActionRow {
    fn into_record(self) -> ActionRecord {
        ActionRecord {
            action: self.action,
            target_table: self.target_table,
            target_id: self.target_id,
            event_id: self.event_id,
            status_from: self.status_from,
            status_to: self.status_to,
            operator: self.operator,
            reason: self.reason,
            created_at: self.created_at,
        }
    }
}
