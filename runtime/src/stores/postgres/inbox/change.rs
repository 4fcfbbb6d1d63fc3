//! Changes of consumed records.

use std::borrow::Cow;

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, Integer, Text},
};
use diesel_async::AsyncPgConnection;

use crate::{
    clock::Timestamp,
    envelope::storable,
    store::{ConsumptionStatus, LogId, Settlement},
    stores::{
        postgres::{columns::Column, statement::Statement},
        schema::UtcTimestamp,
    },
};

/// The most common change, at the least cost: PROCESSED at the first run. Returns how many were PROCESSING and had no
/// row of open work: one that has belongs to a later claim.
///
/// `coalesce` is said to the planner alone: it hides how rare a status is. Expecting two rows where there are five
/// hundred, it would compare each with each.
pub(super) const PROCESSED: &str = "\
UPDATE event_consumption_log l
SET status = 'PROCESSED', processing_time_ms = coalesce(r.processing_time_ms, $3),
    processed_at = coalesce(r.settled_at, $5), updated_at = coalesce(r.settled_at, $5)
FROM unnest($1, $2, $4) AS r (id, processing_time_ms, settled_at)
WHERE l.id = r.id AND l.id BETWEEN $6 AND $7 AND coalesce(l.status = 'PROCESSING', false)
    AND NOT EXISTS (SELECT FROM inbox_queue q WHERE q.consumption_id = r.id)";

pub(super) async fn processed(connection: &AsyncPgConnection, settlements: &[&Settlement]) -> QueryResult<usize> {
    let ids: Vec<_> = settlements.iter().map(|settlement| settlement.id).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    Statement::<()>::new(PROCESSED)
        .bind::<Array<BigInt>, _>(ids.as_slice())
        .column::<BigInt, _>(Column::of(settlements.iter().map(|settlement| processing_time_ms(settlement))))
        .column::<UtcTimestamp, _>(Column::of(settlements.iter().map(|settlement| Some(settlement.settled_at))))
        .bounds(&ids)
        .run(connection)
        .await
}

/// What becomes of the error on a record.
#[derive(PartialEq, Eq)]
pub(super) enum LastError<'a> {
    /// It is that of an earlier attempt still.
    Kept,
    /// It is that of the attempt just made: message and stack trace, if there are any.
    Of(Option<Cow<'a, str>>, Option<Cow<'a, str>>),
}

impl LastError<'_> {
    fn message(&self) -> Option<&str> {
        if let Self::Of(message, _) = self { message.as_deref() } else { None }
    }

    fn stack_trace(&self) -> Option<&str> {
        if let Self::Of(_, stack_trace) = self { stack_trace.as_deref() } else { None }
    }
}

/// A change of any other kind.
pub(super) struct Change<'a> {
    pub(super) id: LogId,
    pub(super) status: ConsumptionStatus,
    pub(super) retry_count: i32,
    pub(super) processing_time_ms: Option<i64>,
    pub(super) error: LastError<'a>,
    /// When it was settled for good.
    pub(super) processed_at: Option<Timestamp>,
    pub(super) at: Timestamp,
}

impl<'a> Change<'a> {
    pub(super) fn of(settlement: &'a Settlement) -> Self {
        use ConsumptionStatus as Status;
        let status = settlement.disposition.status();
        let retries = settlement.retry_count.saturating_add(u32::from(status == Status::Failed));
        let is_final = matches!(status, Status::Processed | Status::FailedMaxRetry | Status::Invalid);
        Self {
            id: settlement.id,
            status,
            retry_count: i32::try_from(retries).unwrap_or(i32::MAX),
            processing_time_ms: processing_time_ms(settlement),
            error: settlement.attempt.as_ref().map_or(LastError::Kept, |attempt| {
                LastError::Of(attempt.error.as_deref().map(storable), attempt.stack_trace.as_deref().map(storable))
            }),
            processed_at: is_final.then_some(settlement.settled_at),
            at: settlement.settled_at,
        }
    }
}

/// Makes the changes to the rows that are PROCESSING; returns how many were.
pub(super) async fn change(connection: &AsyncPgConnection, changes: &[Change<'_>]) -> QueryResult<usize> {
    if changes.is_empty() {
        return Ok(0);
    }
    let sql = "\
        UPDATE event_consumption_log l
        SET status = coalesce(r.status, $3), retry_count = coalesce(r.retry_count, $5),
            processing_time_ms = coalesce(r.processing_time_ms, $7, l.processing_time_ms),
            error_message = CASE WHEN coalesce(r.ran, $17) THEN coalesce(r.error_message, $9) ELSE l.error_message END,
            error_stack_trace =
                CASE WHEN coalesce(r.ran, $17) THEN coalesce(r.error_stack_trace, $11) ELSE l.error_stack_trace END,
            processed_at = coalesce(r.processed_at, $13), updated_at = coalesce(r.updated_at, $15)
        FROM unnest($1, $2, $4, $6, $8, $10, $12, $14, $16) AS r (id, status, retry_count, processing_time_ms,
            error_message, error_stack_trace, processed_at, updated_at, ran)
        WHERE l.id = r.id AND l.id BETWEEN $18 AND $19 AND l.status = 'PROCESSING'";
    let ids: Vec<_> = changes.iter().map(|change| change.id).collect();
    Statement::<()>::new(sql)
        .bind::<Array<BigInt>, _>(ids.as_slice())
        .column::<Text, _>(Column::of(changes.iter().map(|change| Some(change.status.as_str()))))
        .column::<Integer, _>(Column::of(changes.iter().map(|change| Some(change.retry_count))))
        .column::<BigInt, _>(Column::of(changes.iter().map(|change| change.processing_time_ms)))
        .column::<Text, _>(Column::of(changes.iter().map(|change| change.error.message())))
        .column::<Text, _>(Column::of(changes.iter().map(|change| change.error.stack_trace())))
        .column::<UtcTimestamp, _>(Column::of(changes.iter().map(|change| change.processed_at)))
        .column::<UtcTimestamp, _>(Column::of(changes.iter().map(|change| Some(change.at))))
        .column::<Bool, _>(Column::of(changes.iter().map(|change| Some(change.error != LastError::Kept))))
        .bounds(&ids)
        .run(connection)
        .await
}

/// Gives up the keys of malformed events: they may come again corrected, under the same id.
pub(super) async fn release_keys(connection: &AsyncPgConnection, ids: &[LogId]) -> QueryResult<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "\
        DELETE FROM idempotency_key k USING event_consumption_log l
        WHERE l.id = ANY ($1) AND l.id BETWEEN $2 AND $3 AND k.consumption_id = l.id AND k.consumer_group = l.consumer_group
            AND k.handler_name = l.handler_name AND k.event_id = l.event_id AND k.replay_id = l.replay_id";
    Statement::<()>::new(sql).bind::<Array<BigInt>, _>(ids).bounds(ids).run(connection).await?;
    Ok(())
}

fn processing_time_ms(settlement: &Settlement) -> Option<i64> {
    let attempt = settlement.attempt.as_ref()?;
    Some(i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use diesel_async::SimpleAsyncConnection;

    use super::*;
    use crate::stores::postgres::{Use, connect};

    /// However large the table is and whatever is known of it, and whether the values are looked at for the plan or not.
    #[tokio::test]
    async fn settling_finds_its_rows_by_their_ids() {
        let url = std::env::var("TRACKED_TEST_POSTGRES_URL").expect("a server to plan on; `tests/run` starts one");
        let mut connection = connect(&url, Use::Store).await.unwrap();
        // In a schema that only this transaction sees.
        let tables: String = tracked_events_migrations::postgres().unwrap().into_iter().map(|step| step.up).collect();
        let set_up = format!(
            "BEGIN; CREATE SCHEMA tracked_plan; SET LOCAL search_path = tracked_plan; {tables};
             PREPARE settle (bigint[], bigint[], bigint, timestamptz[], timestamptz, bigint, bigint) AS {PROCESSED}"
        );
        connection.batch_execute(&set_up).await.unwrap();
        let mut first = 1;
        for (last, known) in [(20_000, false), (200_000, false), (210_000, true)] {
            fill(&mut connection, first, last).await;
            if known {
                connection.batch_execute("ANALYZE inbox_queue; ANALYZE event_consumption_log").await.unwrap();
                fill(&mut connection, last + 1, last + 5_000).await;
            }
            let generic = plan(&mut connection, "force_generic_plan", last - 499, last).await;
            assert!(generic.contains("Index Scan using event_consumption_log_pkey"), "{generic}");
            let custom = plan(&mut connection, "force_custom_plan", last - 499, last).await;
            assert!(custom.contains("event_consumption_log_pkey"), "{custom}");
            for plan in [generic, custom] {
                assert!(!plan.contains("Seq Scan on event_consumption_log"), "{plan}");
                assert!(!plan.contains("Join Filter: (l.id"), "each with each: {plan}");
            }
            first = last + 5_001;
        }
    }

    async fn fill(connection: &mut AsyncPgConnection, first: i64, last: i64) {
        let sql = format!(
            "INSERT INTO event_consumption_log (id, event_id, service_name, topic, consumer_group, event_type, status,
                 received_at, created_at)
             SELECT n, n, 's', 't', 'g', 'T', CASE WHEN n > {last} - 1000 THEN 'PROCESSING' ELSE 'PROCESSED' END,
                 now(), now() FROM generate_series({first}, {last}) AS n"
        );
        connection.batch_execute(&sql).await.unwrap();
    }

    async fn plan(connection: &mut AsyncPgConnection, mode: &str, first: i64, last: i64) -> String {
        connection.batch_execute(&format!("SET LOCAL plan_cache_mode = {mode}")).await.unwrap();
        let ids: Vec<_> = (first..=last).map(|id| id.to_string()).collect();
        let ids = ids.join(",");
        let explain = format!("EXPLAIN EXECUTE settle (ARRAY[{ids}], NULL, 1, NULL, now(), {first}, {last})");
        let lines: Vec<String> = Statement::<Text>::new(explain.leak()).rows(connection).await.unwrap();
        lines.join("\n")
    }
}
