//! Claiming open rows, and looking at them.

use std::collections::HashMap;

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Integer, Nullable, Text},
};
use diesel_async::AsyncPgConnection;
use futures_util::try_join;

use super::{
    super::{
        PostgresStore,
        pool::{Batch, Retries, Unit, checkout},
        statement::Statement,
    },
    admit::{NewClaim, insert_claim},
    delivery::{DeliveryRow, DeliverySql},
    queue,
};
use crate::{
    clock::Timestamp,
    error::Result,
    store::{ClaimToken, Claimed, DueRequest, HeldRequest, LogId, OpenKey, PartitionScope},
    stores::{fenced::fenced, schema::UtcTimestamp},
};

/// A claim of rows that all have a row of open work, so that its own range is empty.
const NO_RANGE: (LogId, LogId) = (1, 0);

pub(super) async fn claim_due(store: &PostgresStore, request: &DueRequest) -> Result<Claimed> {
    claim(store, &Wanted::Due(request)).await
}

pub(super) async fn claim_held(store: &PostgresStore, request: &HeldRequest) -> Result<Claimed> {
    claim(store, &Wanted::Held(request)).await
}

/// Which rows to claim.
enum Wanted<'a> {
    Due(&'a DueRequest),
    Held(&'a HeldRequest),
}

impl Wanted<'_> {
    fn claim(&self, token: ClaimToken) -> NewClaim<'_> {
        let (instance, group, now) = match self {
            Self::Due(request) => (&request.instance, &request.group, request.now),
            Self::Held(request) => (&request.instance, &request.group, request.now),
        };
        NewClaim { token, instance, group, range: NO_RANGE, now }
    }

    /// Marks the rows as claimed; their ids, and how often each was abandoned before.
    async fn mark(&self, connection: &AsyncPgConnection, token: ClaimToken) -> QueryResult<Vec<(LogId, i32)>> {
        match self {
            Self::Due(request) => due(connection, request, token).await,
            Self::Held(request) => held(connection, request, token).await,
        }
    }
}

async fn claim(store: &PostgresStore, wanted: &Wanted<'_>) -> Result<Claimed> {
    let token = store.claim_token().await?;
    let mut retries = Retries::new();
    loop {
        match attempt(store, wanted, token).await {
            Err(error) if retries.again(&error).await => {}
            result => return result,
        }
    }
}

/// One transaction.
async fn attempt(store: &PostgresStore, wanted: &Wanted<'_>, token: ClaimToken) -> Result<Claimed> {
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    let ((), marked) = try_join!(connection.begin(), wanted.mark(connection, token))?;
    if marked.is_empty() {
        unit.rollback().await?;
        return Ok(Claimed::default());
    }
    let abandoned: HashMap<_, _> = marked.into_iter().collect();
    let claim = wanted.claim(token);
    let (entered, rows) = try_join!(insert_claim(connection, &claim), take(connection, &abandoned, claim.now))?;
    if !entered {
        unit.rollback().await?;
        return Err(fenced());
    }
    if rows.len() < abandoned.len() {
        // Nothing waits for a record that is not open any longer.
        let open: Vec<_> = rows.iter().map(|row| row.id).collect();
        let closed: Vec<_> = abandoned.keys().copied().filter(|id| !open.contains(id)).collect();
        queue::remove(connection, &closed).await?;
    }
    unit.commit().await?;
    let deliver = |row: DeliveryRow| {
        let abandoned = abandoned.get(&row.id).copied().unwrap_or(0);
        row.into_delivery(token, abandoned)
    };
    let mut deliveries: Vec<_> = rows.into_iter().map(deliver).collect();
    deliveries.sort_unstable_by_key(|delivery| delivery.id);
    Ok(Claimed { token: (!deliveries.is_empty()).then_some(token), deliveries })
}

/// The earliest due rows of each listener with room, in the partitions of the scope. Rows that another instance is
/// claiming are passed over.
async fn due(
    connection: &AsyncPgConnection,
    request: &DueRequest,
    token: ClaimToken,
) -> QueryResult<Vec<(LogId, i32)>> {
    let sql = "\
        WITH due AS MATERIALIZED (
            SELECT w.consumption_id
            FROM unnest($4, $5) AS r (handler_name, room),
                LATERAL (
                    SELECT q.consumption_id FROM inbox_queue q
                    WHERE q.consumer_group = $1 AND q.handler_name = r.handler_name AND q.due_at <= $3
                        AND q.state IN ('waiting', 'due')
                        AND ($6 IS NULL OR q.partition_number IS NULL
                            OR (q.topic, q.partition_number) IN (SELECT * FROM unnest($6, $7)))
                    ORDER BY q.due_at, q.consumption_id
                    LIMIT r.room
                    FOR UPDATE SKIP LOCKED) w)
        UPDATE inbox_queue SET state = 'claimed', claim_token = $2
        WHERE consumption_id = ANY (ARRAY (SELECT consumption_id FROM due))
        RETURNING consumption_id, abandoned_count";
    let scope = Owned::of(&request.scope);
    Statement::<(BigInt, Integer)>::new(sql)
        .bind::<Text, _>(request.group.as_str())
        .bind::<BigInt, _>(token.0)
        .bind::<UtcTimestamp, _>(request.now)
        .bind::<Array<Text>, _>(request.room.iter().map(|(listener, _)| listener.as_str()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(request.room.iter().map(|(_, room)| i64::from(*room)).collect::<Vec<_>>())
        .bind::<Nullable<Array<Text>>, _>(scope.topics)
        .bind::<Nullable<Array<Integer>>, _>(scope.partitions)
        .rows(connection)
        .await
}

/// The earliest held rows of a key.
async fn held(
    connection: &AsyncPgConnection,
    request: &HeldRequest,
    token: ClaimToken,
) -> QueryResult<Vec<(LogId, i32)>> {
    let sql = "\
        UPDATE inbox_queue SET state = 'claimed', claim_token = $4
        WHERE consumption_id = ANY (ARRAY (
            SELECT consumption_id FROM inbox_queue
            WHERE consumer_group = $1 AND handler_name = $2 AND key_hash = $3 AND state = 'held'
            ORDER BY consumption_id
            LIMIT $5
            FOR UPDATE))
        RETURNING consumption_id, abandoned_count";
    Statement::<(BigInt, Integer)>::new(sql)
        .bind::<Text, _>(request.group.as_str())
        .bind::<Text, _>(request.listener.as_str())
        .bind::<BigInt, _>(request.key_hash)
        .bind::<BigInt, _>(token.0)
        .bind::<BigInt, _>(i64::from(request.limit))
        .rows(connection)
        .await
}

/// Writes the claimed records PROCESSING, and reads them.
async fn take(
    connection: &AsyncPgConnection,
    marked: &HashMap<LogId, i32>,
    now: Timestamp,
) -> QueryResult<Vec<DeliveryRow>> {
    let sql = concat!(
        "UPDATE event_consumption_log l SET status = 'PROCESSING', updated_at = $2
         WHERE l.id = ANY ($1) AND l.id BETWEEN $3 AND $4 AND l.status IN ('RECEIVED', 'FAILED') RETURNING ",
        delivery_columns!()
    );
    let mut ids: Vec<_> = marked.keys().copied().collect();
    ids.sort_unstable();
    Statement::<DeliverySql>::new(sql)
        .bind::<Array<BigInt>, _>(ids.as_slice())
        .bind::<UtcTimestamp, _>(now)
        .bounds(&ids)
        .rows(connection)
        .await
}

/// The partitions within which an instance acts, as two columns; none for everywhere.
struct Owned<'a> {
    topics: Option<Vec<&'a str>>,
    partitions: Option<Vec<i32>>,
}

impl<'a> Owned<'a> {
    fn of(scope: &'a PartitionScope) -> Self {
        match scope {
            PartitionScope::Any => Self { topics: None, partitions: None },
            PartitionScope::Owned(owned) => Self {
                topics: Some(owned.iter().map(|(topic, _)| topic.as_str()).collect()),
                partitions: Some(owned.iter().map(|(_, partition)| *partition).collect()),
            },
        }
    }
}

pub(super) async fn open_keys(store: &PostgresStore, group: &str, scope: &PartitionScope) -> Result<Vec<OpenKey>> {
    // What is admitted from now on comes after what another instance has admitted of the same keys before.
    store.consumption_ids.renew().await;
    store.unwanted.forget(group);
    let sql = "\
        SELECT handler_name, key_hash, count(*) FILTER (WHERE state NOT IN ('held', 'review')),
            count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'review')
        FROM inbox_queue
        WHERE consumer_group = $1 AND key_hash IS NOT NULL
            AND (state <> 'review' OR EXISTS (
                SELECT FROM event_consumption_log WHERE id = consumption_id AND status = 'FAILED_MAX_RETRY'))
            AND ($2 IS NULL OR partition_number IS NULL
                OR (topic, partition_number) IN (SELECT * FROM unnest($2, $3)))
        GROUP BY handler_name, key_hash
        ORDER BY handler_name, key_hash";
    let scope = Owned::of(scope);
    let connection = checkout(&store.pool).await?;
    let rows: Vec<(String, i64, i64, i64, i64)> = Statement::<(Text, BigInt, BigInt, BigInt, BigInt)>::new(sql)
        .bind::<Text, _>(group)
        .bind::<Nullable<Array<Text>>, _>(scope.topics)
        .bind::<Nullable<Array<Integer>>, _>(scope.partitions)
        .rows(&connection)
        .await?;
    let count = |rows| u32::try_from(rows).unwrap_or(u32::MAX);
    let key = |(listener, key_hash, heads, held, dead)| OpenKey {
        listener,
        key_hash,
        heads: count(heads),
        held: count(held),
        dead: count(dead),
    };
    Ok(rows.into_iter().map(key).collect())
}

pub(super) async fn next_due_at(store: &PostgresStore, group: &str, listeners: &[String]) -> Result<Option<Timestamp>> {
    let sql = "\
        SELECT min(q.due_at)
        FROM unnest($2) AS r (handler_name),
            LATERAL (
                SELECT due_at FROM inbox_queue
                WHERE consumer_group = $1 AND handler_name = r.handler_name AND state IN ('waiting', 'due')
                ORDER BY due_at LIMIT 1) q";
    let connection = checkout(&store.pool).await?;
    let due_at = Statement::<Nullable<UtcTimestamp>>::new(sql)
        .bind::<Text, _>(group)
        .bind::<Array<Text>, _>(listeners)
        .row(&connection)
        .await?;
    Ok(due_at)
}
