//! Rows of the consumption log, as they enter.

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Binary, Integer, Text},
};
use diesel_async::AsyncPgConnection;

use super::entry::{Entry, Fate};
use crate::{
    envelope::{headers_to_json, storable},
    store::{Admission, ConsumptionStatus, LogId},
    stores::{
        postgres::{columns::Column, statement::Statement},
        schema::UtcTimestamp,
    },
};

const INSERT: &str = "\
INSERT INTO event_consumption_log (service_name, consumer_group, received_at, created_at, id, event_id, topic,
    partition_number, \"offset\", event_type, payload, status, processed_at, max_retries, error_message,
    correlation_id, metadata, handler_name, event_key, key_hash, causation_id, content_type, headers, traceparent,
    replay_id)
SELECT $1, $2, $3, $3, r.id, r.event_id, coalesce(r.topic, $7), coalesce(r.partition_number, $9),
    coalesce(r.\"offset\", $11), coalesce(r.event_type, $13), coalesce(r.payload, $15), coalesce(r.status, $17),
    CASE WHEN coalesce(r.status, $17) IN ('INVALID', 'DUPLICATE') THEN $3 END, coalesce(r.max_retries, $19),
    coalesce(r.error_message, $21), coalesce(r.correlation_id, $23), coalesce(r.metadata, $25),
    coalesce(r.handler_name, $27), coalesce(r.event_key, $29), coalesce(r.key_hash, $31),
    coalesce(r.causation_id, $33), coalesce(r.content_type, $35), coalesce(r.headers, $37),
    coalesce(r.traceparent, $39), coalesce(r.replay_id, $41)
FROM unnest($4, $5, $6, $8, $10, $12, $14, $16, $18, $20, $22, $24, $26, $28, $30, $32, $34, $36, $38, $40)
    AS r (id, event_id, topic, partition_number, \"offset\", event_type, payload, status, max_retries, error_message,
        correlation_id, metadata, handler_name, event_key, key_hash, causation_id, content_type, headers, traceparent,
        replay_id)";

/// Inserts the rows of the arrivals that have one of their own.
pub(super) async fn insert(
    connection: &AsyncPgConnection,
    batch: &Admission,
    entries: &[Entry<'_>],
) -> QueryResult<()> {
    let rows: Vec<_> = entries.iter().filter_map(|entry| Some((entry, entry.status()?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let arrivals = || rows.iter().map(|(entry, _)| entry.arrival);
    let envelopes = || rows.iter().map(|(entry, _)| &*entry.arrival.envelope);
    let content = || rows.iter().map(|(entry, _)| entry.keeps_content().then_some(&*entry.arrival.envelope));
    Statement::<()>::new(INSERT)
        .bind::<Text, _>(batch.service.as_str())
        .bind::<Text, _>(batch.group.as_str())
        .bind::<UtcTimestamp, _>(batch.now)
        .bind::<Array<BigInt>, _>(rows.iter().map(|(entry, _)| entry.id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(envelopes().map(|envelope| storable(&envelope.event_id)).collect::<Vec<_>>())
        .column::<Text, _>(Column::of(arrivals().map(|arrival| Some(arrival.topic.as_str()))))
        .column::<Integer, _>(Column::of(arrivals().map(|arrival| arrival.partition)))
        .column::<BigInt, _>(Column::of(arrivals().map(|arrival| arrival.offset)))
        .column::<Text, _>(Column::of(arrivals().map(|arrival| Some(storable(&arrival.event_type)))))
        .column::<Binary, _>(Column::of(content().map(|envelope| envelope?.payload.as_deref())))
        .column::<Text, _>(Column::of(rows.iter().map(|(_, status)| Some(status.as_str()))))
        .column::<Integer, _>(Column::of(arrivals().map(|arrival| Some(max_retries(arrival.max_retries)))))
        .column::<Text, _>(Column::of(rows.iter().map(|(entry, _)| entry.problem(&batch.group))))
        .column::<Text, _>(Column::of(envelopes().map(|envelope| envelope.correlation_id.as_deref().map(storable))))
        .column::<Text, _>(Column::of(rows.iter().map(|(entry, _)| entry.metadata())))
        .column::<Text, _>(Column::of(arrivals().map(|arrival| Some(arrival.listener.as_str()))))
        .column::<Binary, _>(Column::of(envelopes().map(|envelope| envelope.key.as_deref())))
        .column::<BigInt, _>(Column::of(arrivals().map(|arrival| arrival.key_hash)))
        .column::<Text, _>(Column::of(envelopes().map(|envelope| envelope.causation_id.as_deref().map(storable))))
        .column::<Text, _>(Column::of(envelopes().map(|envelope| envelope.content_type.as_deref().map(storable))))
        .column::<Text, _>(Column::of(content().map(|envelope| headers_to_json(&envelope?.headers))))
        .column::<Text, _>(Column::of(envelopes().map(|envelope| envelope.traceparent.as_deref().map(storable))))
        .column::<Text, _>(Column::of(arrivals().map(|arrival| Some(arrival.replay_id.as_str()))))
        .run(connection)
        .await?;
    Ok(())
}

/// Corrects rows that were inserted as new and turned out to be known.
pub(super) async fn correct(
    connection: &AsyncPgConnection,
    batch: &Admission,
    entries: &[&Entry<'_>],
) -> QueryResult<()> {
    let sql = "\
        UPDATE event_consumption_log l
        SET status = r.status, metadata = r.metadata, error_message = r.error_message, processed_at = $1,
            payload = CASE WHEN r.status = 'DUPLICATE' THEN NULL ELSE l.payload END,
            headers = CASE WHEN r.status = 'DUPLICATE' THEN NULL ELSE l.headers END
        FROM unnest($2, $3, $4, $5) AS r (id, status, metadata, error_message)
        WHERE l.id = r.id AND l.id BETWEEN $6 AND $7";
    let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    let status = |entry: &&Entry<'_>| entry.status().map(ConsumptionStatus::as_str);
    Statement::<()>::new(sql)
        .bind::<UtcTimestamp, _>(batch.now)
        .bind::<Array<BigInt>, _>(ids.as_slice())
        .bind::<Array<diesel::sql_types::Nullable<Text>>, _>(entries.iter().map(status).collect::<Vec<_>>())
        .bind::<Array<diesel::sql_types::Nullable<Text>>, _>(
            entries.iter().map(|entry| entry.metadata()).collect::<Vec<_>>(),
        )
        .bind::<Array<diesel::sql_types::Nullable<Text>>, _>(
            entries.iter().map(|entry| entry.problem(&batch.group)).collect::<Vec<_>>(),
        )
        .bounds(&ids)
        .run(connection)
        .await?;
    Ok(())
}

/// Gives NO_HANDLER rows, and their keys, to the listeners that want them now.
pub(super) async fn reopen(
    connection: &AsyncPgConnection,
    batch: &Admission,
    entries: &[Entry<'_>],
) -> QueryResult<()> {
    let reopened: Vec<(LogId, _)> = entries
        .iter()
        .filter_map(|entry| match entry.fate {
            Fate::Reopened { first } => Some((first, entry.arrival)),
            _ => None,
        })
        .collect();
    if reopened.is_empty() {
        return Ok(());
    }
    let sql = "\
        WITH moved AS (
            UPDATE event_consumption_log l
            SET status = 'RECEIVED', handler_name = r.handler_name, event_type = r.event_type,
                max_retries = r.max_retries, key_hash = coalesce(r.key_hash, $8), updated_at = $1,
                error_message = NULL
            FROM unnest($3, $4, $5, $6, $7) AS r (id, handler_name, event_type, max_retries, key_hash)
            WHERE l.id = r.id AND l.status = 'NO_HANDLER'
            RETURNING l.id, l.event_id, l.replay_id, l.handler_name)
        UPDATE idempotency_key k SET handler_name = moved.handler_name
        FROM moved
        WHERE k.consumer_group = $2 AND k.handler_name = '' AND k.event_id = moved.event_id
            AND k.replay_id = moved.replay_id";
    Statement::<()>::new(sql)
        .bind::<UtcTimestamp, _>(batch.now)
        .bind::<Text, _>(batch.group.as_str())
        .bind::<Array<BigInt>, _>(reopened.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(reopened.iter().map(|(_, arrival)| arrival.listener.as_str()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(reopened.iter().map(|(_, arrival)| storable(&arrival.event_type)).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(
            reopened.iter().map(|(_, arrival)| max_retries(arrival.max_retries)).collect::<Vec<_>>(),
        )
        .column::<BigInt, _>(Column::of(reopened.iter().map(|(_, arrival)| arrival.key_hash)))
        .run(connection)
        .await?;
    Ok(())
}

fn max_retries(retries: u32) -> i32 {
    i32::try_from(retries).unwrap_or(i32::MAX)
}
