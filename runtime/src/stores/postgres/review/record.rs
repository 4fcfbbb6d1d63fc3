//! The record, as people read it.

use diesel::{
    Queryable,
    sql_types::{Array, BigInt, Binary, Integer, Nullable, Text},
};

use crate::{
    clock::Timestamp,
    error::Result,
    store::{ActionRecord, AttemptRecord, ConsumptionRecord, LogId, OpenWork, ProductionRecord, RecordQuery},
    stores::{
        postgres::{PostgresStore, inbox::known, pool::checkout, statement::Statement},
        schema::UtcTimestamp,
    },
};

/// The columns of [`ConsumedSql`], and the conditions of a [`RecordQuery`]: `$1` to `$12`, of which those that are NULL
/// are no conditions. Plans are made for the values at hand, so that each query gets the index that serves it.
macro_rules! consumed {
    ($from:literal, $page:literal) => {
        concat!(
            "SELECT l.id, l.event_id, l.service_name, l.topic, l.partition_number, l.\"offset\", l.consumer_group,
                 l.handler_name, l.event_type, l.event_key, l.payload, l.status, l.retry_count, l.max_retries,
                 l.processing_time_ms, l.error_message, l.error_stack_trace, l.correlation_id, l.causation_id,
                 l.headers, l.metadata, l.replay_id, l.redrive_count, l.received_at, l.processed_at, l.updated_at
             FROM ",
            $from,
            " WHERE ($1 IS NULL OR l.event_id = $1) AND ($2 IS NULL OR l.id = $2) AND ($3 IS NULL OR l.status = $3)
                 AND ($4 IS NULL OR l.topic = $4) AND ($5 IS NULL OR l.event_type = $5)
                 AND ($6 IS NULL OR l.consumer_group = $6) AND ($7 IS NULL OR l.handler_name = $7)
                 AND ($8 IS NULL OR l.event_key = $8) AND ($9 IS NULL OR l.correlation_id = $9)
                 AND ($10 IS NULL OR l.created_at >= $10) AND ($11 IS NULL OR l.created_at < $11)",
            $page,
            " LIMIT $13"
        )
    };
}

/// Binds the conditions.
fn conditions<'a, Row: 'static>(sql: &'static str, query: &'a RecordQuery) -> Statement<'a, Row> {
    Statement::new(sql)
        .planned_anew()
        .bind::<Nullable<Text>, _>(query.event_id.as_deref())
        .bind::<Nullable<BigInt>, _>(query.id)
        .bind::<Nullable<Text>, _>(query.status.as_deref())
        .bind::<Nullable<Text>, _>(query.topic.as_deref())
        .bind::<Nullable<Text>, _>(query.event_type.as_deref())
        .bind::<Nullable<Text>, _>(query.group.as_deref())
        .bind::<Nullable<Text>, _>(query.listener.as_deref())
        .bind::<Nullable<Binary>, _>(query.key.as_deref())
        .bind::<Nullable<Text>, _>(query.correlation_id.as_deref())
        .bind::<Nullable<UtcTimestamp>, _>(query.from)
        .bind::<Nullable<UtcTimestamp>, _>(query.to)
        .bind::<Nullable<BigInt>, _>(query.after_id)
        .bind::<BigInt, _>(i64::from(query.limit))
}

pub(super) async fn consumed(store: &PostgresStore, query: &RecordQuery) -> Result<Vec<ConsumptionRecord>> {
    let sql = consumed!("event_consumption_log l", " AND ($12 IS NULL OR l.id < $12) ORDER BY l.id DESC");
    records(store, sql, query).await
}

pub(super) async fn for_review(store: &PostgresStore, query: &RecordQuery) -> Result<Vec<ConsumptionRecord>> {
    let sql = consumed!(
        "inbox_queue q, LATERAL (SELECT * FROM event_consumption_log WHERE id = q.consumption_id LIMIT 1) l",
        " AND q.state = 'review' AND ($12 IS NULL OR q.consumption_id > $12) ORDER BY q.consumption_id"
    );
    records(store, sql, query).await
}

async fn records(store: &PostgresStore, sql: &'static str, query: &RecordQuery) -> Result<Vec<ConsumptionRecord>> {
    let connection = checkout(&store.pool).await?;
    let rows: Vec<ConsumedRow> = conditions::<ConsumedSql>(sql, query).rows(&connection).await?;
    rows.into_iter().map(ConsumedRow::into_record).collect()
}

pub(super) async fn produced(store: &PostgresStore, query: &RecordQuery) -> Result<Vec<ProductionRecord>> {
    // A production row has neither group nor listener: `$6` and `$7` are no conditions.
    let sql = "\
        SELECT l.id, l.event_id, l.service_name, l.topic, l.event_type, l.event_key, l.payload, l.status, l.kind,
            l.retry_count, l.max_retries, l.error_message, l.correlation_id, l.causation_id, l.partition_number,
            l.\"offset\", l.headers, l.created_at, l.published_at, l.updated_at
        FROM event_production_log l
        WHERE ($1 IS NULL OR l.event_id = $1) AND ($2 IS NULL OR l.id = $2) AND ($3 IS NULL OR l.status = $3)
            AND ($4 IS NULL OR l.topic = $4) AND ($5 IS NULL OR l.event_type = $5)
            AND ($8 IS NULL OR l.event_key = $8) AND ($9 IS NULL OR l.correlation_id = $9)
            AND ($10 IS NULL OR l.created_at >= $10) AND ($11 IS NULL OR l.created_at < $11)
            AND ($12 IS NULL OR l.id < $12)
        ORDER BY l.id DESC
        LIMIT $13";
    let connection = checkout(&store.pool).await?;
    let rows: Vec<ProducedRow> = conditions::<ProducedSql>(sql, query).rows(&connection).await?;
    rows.into_iter().map(ProducedRow::into_record).collect()
}

pub(super) async fn attempts(store: &PostgresStore, consumption_ids: &[LogId]) -> Result<Vec<AttemptRecord>> {
    let sql = "\
        SELECT consumption_id, attempt_number, handler_name, instance_id, started_at, completed_at, status,
            error_message, error_stack_trace, processing_time_ms, retry_delay_ms
        FROM event_attempt
        WHERE consumption_id = ANY ($1)
        ORDER BY started_at, id";
    let connection = checkout(&store.pool).await?;
    let rows: Vec<AttemptRow> =
        Statement::<AttemptSql>::new(sql).bind::<Array<BigInt>, _>(consumption_ids).rows(&connection).await?;
    rows.into_iter().map(AttemptRow::into_record).collect()
}

pub(super) async fn actions(store: &PostgresStore, event_id: &str) -> Result<Vec<ActionRecord>> {
    let sql = "\
        SELECT action, target_table, target_id, event_id, status_from, status_to, operator, reason, created_at
        FROM operator_action
        WHERE event_id = $1
        ORDER BY id";
    let connection = checkout(&store.pool).await?;
    let rows: Vec<ActionRow> = Statement::<ActionSql>::new(sql).bind::<Text, _>(event_id).rows(&connection).await?;
    Ok(rows.into_iter().map(ActionRow::into_record).collect())
}

pub(super) async fn open_work(store: &PostgresStore, consumption_ids: &[LogId]) -> Result<Vec<OpenWork>> {
    let sql = "\
        SELECT consumption_id, state, due_at, abandoned_count FROM inbox_queue
        WHERE consumption_id = ANY ($1)
        ORDER BY consumption_id";
    let connection = checkout(&store.pool).await?;
    let rows: Vec<(LogId, String, Timestamp, i32)> = Statement::<(BigInt, Text, UtcTimestamp, Integer)>::new(sql)
        .bind::<Array<BigInt>, _>(consumption_ids)
        .rows(&connection)
        .await?;
    let open = |(consumption_id, state, due_at, abandoned_count): (_, String, _, _)| {
        Ok(OpenWork { consumption_id, state: known(&state)?, due_at, abandoned_count })
    };
    rows.into_iter().map(open).collect()
}

type ConsumedSql = (
    BigInt,
    Text,
    Text,
    Text,
    Nullable<Integer>,
    Nullable<BigInt>,
    Text,
    Text,
    Text,
    Nullable<Binary>,
    Nullable<Binary>,
    Text,
    Integer,
    Integer,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Text,
    Integer,
    UtcTimestamp,
    Nullable<UtcTimestamp>,
    Nullable<UtcTimestamp>,
);

#[derive(Queryable)]
struct ConsumedRow {
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
}

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

type ProducedSql = (
    BigInt,
    Text,
    Text,
    Text,
    Text,
    Nullable<Binary>,
    Nullable<Binary>,
    Text,
    Text,
    Integer,
    Integer,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Integer>,
    Nullable<BigInt>,
    Nullable<Text>,
    UtcTimestamp,
    Nullable<UtcTimestamp>,
    Nullable<UtcTimestamp>,
);

#[derive(Queryable)]
struct ProducedRow {
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
}

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

type AttemptSql = (
    BigInt,
    Integer,
    Text,
    Text,
    UtcTimestamp,
    UtcTimestamp,
    Text,
    Nullable<Text>,
    Nullable<Text>,
    BigInt,
    Nullable<BigInt>,
);

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

type ActionSql = (Text, Text, BigInt, Text, Text, Text, Text, Nullable<Text>, UtcTimestamp);

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
