//! Staging: rows of the production log and their rows of open work, in one statement.

use diesel::{
    QueryResult,
    connection::LoadConnection,
    pg::Pg,
    sql_types::{Array, BigInt, Binary, Integer, Text},
};
use diesel_async::{AsyncConnection, AsyncPgConnection};

use crate::{
    envelope::{headers_to_json, storable},
    store::StagedEvent,
    stores::{
        postgres::{columns::Column, statement::Statement},
        schema::UtcTimestamp,
        stage::StageBackend,
    },
};

const STAGE: &str = "\
WITH staged AS MATERIALIZED (
    SELECT nextval('event_production_log_id_seq') AS id, r.event_id, coalesce(r.service_name, $3) AS service_name,
        coalesce(r.topic, $5) AS topic, coalesce(r.event_key, $7) AS event_key,
        coalesce(r.event_type, $9) AS event_type, coalesce(r.payload, $11) AS payload,
        coalesce(r.max_retries, $13) AS max_retries, coalesce(r.correlation_id, $15) AS correlation_id,
        coalesce(r.causation_id, $17) AS causation_id, coalesce(r.content_type, $19) AS content_type,
        coalesce(r.headers, $21) AS headers, coalesce(r.traceparent, $23) AS traceparent,
        coalesce(r.kind, $25) AS kind, coalesce(r.created_at, $27) AS created_at, coalesce(r.shard, $29) AS shard,
        coalesce(r.key_hash, $31) AS key_hash
    FROM unnest($1, $2, $4, $6, $8, $10, $12, $14, $16, $18, $20, $22, $24, $26, $28, $30)
        AS r (event_id, service_name, topic, event_key, event_type, payload, max_retries, correlation_id, causation_id,
            content_type, headers, traceparent, kind, created_at, shard, key_hash)),
logged AS (
    INSERT INTO event_production_log (id, event_id, service_name, topic, event_key, event_type, payload, status,
        max_retries, correlation_id, causation_id, content_type, headers, traceparent, kind, created_at)
    SELECT id, event_id, service_name, topic, event_key, event_type, payload, 'PENDING', max_retries, correlation_id,
        causation_id, content_type, headers, traceparent, kind, created_at
    FROM staged)
INSERT INTO outbox_queue (production_id, shard, topic, key_hash, state, due_at)
SELECT id, shard, topic, key_hash, 'pending', created_at FROM staged";

/// Inserts events in the order of their ids, PENDING.
pub(in crate::stores::postgres) async fn stage(
    connection: &AsyncPgConnection,
    events: &[&StagedEvent],
) -> QueryResult<()> {
    if !events.is_empty() {
        statement(events).run(connection).await?;
    }
    Ok(())
}

fn statement<'a>(events: &[&'a StagedEvent]) -> Statement<'a> {
    let envelopes = || events.iter().map(|event| &event.envelope);
    let text = |pick: fn(&'a StagedEvent) -> Option<&'a str>| {
        Column::of(events.iter().map(move |event| pick(event).map(storable)))
    };
    Statement::new(STAGE)
        .bind::<Array<Text>, _>(envelopes().map(|envelope| storable(&envelope.event_id)).collect::<Vec<_>>())
        .column::<Text, _>(text(|event| Some(&event.service)))
        .column::<Text, _>(text(|event| Some(&event.topic)))
        .column::<Binary, _>(Column::of(events.iter().map(|event| event.envelope.key.as_deref())))
        .column::<Text, _>(text(|event| Some(event.envelope.event_type.as_deref().unwrap_or_default())))
        .column::<Binary, _>(Column::of(events.iter().map(|event| event.envelope.payload.as_deref())))
        .column::<Integer, _>(Column::of(
            events.iter().map(|event| Some(i32::try_from(event.max_retries).unwrap_or(i32::MAX))),
        ))
        .column::<Text, _>(text(|event| event.envelope.correlation_id.as_deref()))
        .column::<Text, _>(text(|event| event.envelope.causation_id.as_deref()))
        .column::<Text, _>(text(|event| event.envelope.content_type.as_deref()))
        .column::<Text, _>(Column::of(envelopes().map(|envelope| headers_to_json(&envelope.headers))))
        .column::<Text, _>(text(|event| event.envelope.traceparent.as_deref()))
        .column::<Text, _>(Column::of(events.iter().map(|event| Some(event.kind.as_str()))))
        .column::<UtcTimestamp, _>(Column::of(events.iter().map(|event| Some(event.created_at))))
        .column::<Integer, _>(Column::of(events.iter().map(|event| Some(event.shard()))))
        .column::<BigInt, _>(Column::of(envelopes().map(crate::envelope::Envelope::key_hash)))
}

impl StageBackend for Pg {
    const AFTER_BEGIN: &'static str = "";

    async fn insert<C: AsyncConnection<Backend = Self>>(connection: &mut C, events: &[StagedEvent]) -> QueryResult<()> {
        let events: Vec<_> = events.iter().collect();
        diesel_async::RunQueryDsl::execute(statement(&events), connection).await?;
        Ok(())
    }

    fn insert_blocking<C: LoadConnection<Backend = Self>>(
        connection: &mut C,
        events: &[StagedEvent],
    ) -> QueryResult<()> {
        let events: Vec<_> = events.iter().collect();
        diesel::RunQueryDsl::execute(statement(&events), connection)?;
        Ok(())
    }
}
