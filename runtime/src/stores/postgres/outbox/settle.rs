//! Settling rows that were sent, and giving back those that nobody settled.

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Integer, Nullable, Text},
};
use diesel_async::AsyncPgConnection;
use futures_util::try_join;

use crate::{
    clock::Timestamp,
    envelope::storable,
    error::Result,
    store::{Lease, LogId, OutboxState, OutgoingOutcome, OutgoingResult, ProductionStatus},
    stores::{
        postgres::{
            PostgresStore,
            columns::Column,
            lease,
            pool::{Batch, Retries, Unit},
            statement::Statement,
        },
        schema::UtcTimestamp,
    },
};

pub(super) async fn settle(
    store: &PostgresStore,
    leases: &[Lease],
    results: &[OutgoingResult],
    now: Timestamp,
) -> Result<()> {
    let mut retries = Retries::new();
    loop {
        match attempt(store, leases, results, now).await {
            Err(error) if retries.again(&error).await => {}
            result => return result,
        }
    }
}

async fn attempt(store: &PostgresStore, leases: &[Lease], results: &[OutgoingResult], now: Timestamp) -> Result<()> {
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    let ((), shards) = try_join!(connection.begin(), lease::standing(connection, leases))?;
    let mut standing: Vec<_> = results.iter().filter(|result| shards.contains(&result.shard)).collect();
    // Everybody locks rows in the order of their ids.
    standing.sort_unstable_by_key(|result| result.id);
    let (sent, unsent): (Vec<&OutgoingResult>, Vec<&OutgoingResult>) =
        standing.into_iter().partition(|result| matches!(result.outcome, OutgoingOutcome::Published { .. }));
    let unsent: Vec<_> = unsent.into_iter().filter_map(|result| Unsent::of(result, now)).collect();
    try_join!(published(connection, &sent, now), refused(connection, &unsent, now))?;
    unit.commit().await
}

async fn published(connection: &AsyncPgConnection, sent: &[&OutgoingResult], now: Timestamp) -> QueryResult<()> {
    if sent.is_empty() {
        return Ok(());
    }
    let place = |result: &&OutgoingResult| match result.outcome {
        OutgoingOutcome::Published { partition, offset } => (partition, offset),
        _ => (None, None),
    };
    let ids: Vec<_> = sent.iter().map(|result| result.id).collect();
    let log = "\
        UPDATE event_production_log p
        SET status = 'PUBLISHED', partition_number = coalesce(r.partition_number, $4),
            \"offset\" = coalesce(r.\"offset\", $6), published_at = $1, updated_at = $1, error_message = NULL
        FROM unnest($2, $3, $5) AS r (id, partition_number, \"offset\")
        WHERE p.id = r.id AND p.id BETWEEN $7 AND $8 AND p.status = 'PUBLISHING'";
    let log = Statement::<()>::new(log)
        .bind::<UtcTimestamp, _>(now)
        .bind::<Array<BigInt>, _>(ids.as_slice())
        .column::<Integer, _>(Column::of(sent.iter().map(|result| place(result).0)))
        .column::<BigInt, _>(Column::of(sent.iter().map(|result| place(result).1)))
        .bounds(&ids)
        .run(connection);
    // After the log: a row that was not PUBLISHING keeps its place.
    let queue = "\
        DELETE FROM outbox_queue q
        USING event_production_log p
        WHERE q.production_id = ANY ($1) AND p.id = q.production_id AND p.id BETWEEN $2 AND $3
            AND p.status = 'PUBLISHED'";
    let queue = Statement::<()>::new(queue).bind::<Array<BigInt>, _>(ids.as_slice()).bounds(&ids).run(connection);
    try_join!(log, queue)?;
    Ok(())
}

/// A row that the broker does not have.
struct Unsent<'a> {
    id: LogId,
    status: ProductionStatus,
    retries: i32,
    error: Option<std::borrow::Cow<'a, str>>,
    state: OutboxState,
    due_at: Timestamp,
}

impl<'a> Unsent<'a> {
    fn of(result: &'a OutgoingResult, now: Timestamp) -> Option<Self> {
        let id = result.id;
        Some(match &result.outcome {
            OutgoingOutcome::Published { .. } => return None,
            OutgoingOutcome::Retry { error, due_at } => Self {
                id,
                status: ProductionStatus::Failed,
                retries: 1,
                error: Some(storable(error)),
                state: OutboxState::Failed,
                due_at: *due_at,
            },
            OutgoingOutcome::GiveUp { error } => Self {
                id,
                status: ProductionStatus::FailedMaxRetry,
                retries: 0,
                error: Some(storable(error)),
                state: OutboxState::Review,
                due_at: now,
            },
            OutgoingOutcome::Held => Self::pending(id, now),
        })
    }

    fn pending(id: LogId, now: Timestamp) -> Self {
        let (status, state) = (ProductionStatus::Pending, OutboxState::Pending);
        Self { id, status, retries: 0, error: None, state, due_at: now }
    }
}

async fn refused(connection: &AsyncPgConnection, unsent: &[Unsent<'_>], now: Timestamp) -> QueryResult<usize> {
    if unsent.is_empty() {
        return Ok(0);
    }
    let sql = "\
        WITH refused AS (
            UPDATE event_production_log p
            SET status = r.status, retry_count = p.retry_count + r.retries,
                error_message = coalesce(r.error_message, p.error_message), updated_at = $1
            FROM unnest($2, $3, $4, $5, $6, $7) AS r (id, status, retries, error_message, state, due_at)
            WHERE p.id = r.id AND p.id BETWEEN $8 AND $9 AND p.status = 'PUBLISHING'
            RETURNING p.id, r.state, r.due_at)
        UPDATE outbox_queue q SET state = refused.state, due_at = refused.due_at
        FROM refused
        WHERE q.production_id = refused.id";
    let ids: Vec<_> = unsent.iter().map(|row| row.id).collect();
    Statement::<()>::new(sql)
        .bind::<UtcTimestamp, _>(now)
        .bind::<Array<BigInt>, _>(ids.as_slice())
        .bind::<Array<Text>, _>(unsent.iter().map(|row| row.status.as_str()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(unsent.iter().map(|row| row.retries).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(unsent.iter().map(|row| row.error.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(unsent.iter().map(|row| row.state.as_str()).collect::<Vec<_>>())
        .bind::<Array<UtcTimestamp>, _>(unsent.iter().map(|row| row.due_at).collect::<Vec<_>>())
        .bounds(&ids)
        .run(connection)
        .await
}

/// Rows in PUBLISHING whose sender is gone: PENDING again. They may be sent twice, under the same id.
pub(super) async fn recover(store: &PostgresStore, leases: &[Lease], now: Timestamp) -> Result<u32> {
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    let ((), shards) = try_join!(connection.begin(), lease::standing(connection, leases))?;
    let sql = "\
        SELECT q.production_id
        FROM outbox_queue q, LATERAL (SELECT status FROM event_production_log WHERE id = q.production_id LIMIT 1) p
        WHERE q.shard = ANY ($1) AND q.state <> 'review' AND p.status = 'PUBLISHING'
        ORDER BY q.production_id";
    let left: Vec<LogId> = Statement::<BigInt>::new(sql).bind::<Array<Integer>, _>(shards).rows(connection).await?;
    let left: Vec<_> = left.into_iter().map(|id| Unsent::pending(id, now)).collect();
    let recovered = refused(connection, &left, now).await?;
    unit.commit().await?;
    Ok(u32::try_from(recovered).unwrap_or(u32::MAX))
}
