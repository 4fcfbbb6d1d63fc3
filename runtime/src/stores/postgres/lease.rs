//! Instances, their beats, and what each of them owns.

use std::time::Duration;

use async_trait::async_trait;
use diesel::{
    QueryResult, Queryable,
    sql_types::{Array, BigInt, Nullable, Text},
};
use diesel_async::AsyncPgConnection;
use futures_util::try_join;

use super::{
    PostgresStore,
    pool::{Batch, Retries, Unit, checkout},
    statement::Statement,
};
use crate::{
    clock::Timestamp,
    error::Result,
    store::{InstanceBeat, InstanceStore, Lease, LeaseStore, NewInstance, outbox_shard},
    stores::schema::UtcTimestamp,
};

#[async_trait]
impl InstanceStore for PostgresStore {
    async fn now(&self) -> Result<Timestamp> {
        if self.clock.is_manual() {
            return Ok(self.clock.now());
        }
        let connection = checkout(&self.pool).await?;
        Ok(Statement::<UtcTimestamp>::new("SELECT clock_timestamp()").row(&connection).await?)
    }

    async fn register(&self, instance: NewInstance) -> Result<Option<String>> {
        let mut retries = Retries::new();
        loop {
            match register(self, &instance).await {
                // Another instance entered under the same name at the same time.
                Err(error) if retries.again(&error).await => {}
                result => return result,
            }
        }
    }

    async fn beat(&self, instance: &str, now: Timestamp) -> Result<bool> {
        let sql = "UPDATE instance SET beat = beat + 1, last_beat_at = $2 WHERE id = $1";
        let connection = checkout(&self.pool).await?;
        let beaten =
            Statement::<()>::new(sql).bind::<Text, _>(instance).bind::<UtcTimestamp, _>(now).run(&connection).await?;
        Ok(beaten == 1)
    }

    async fn instances(&self) -> Result<Vec<InstanceBeat>> {
        let sql = "\
            SELECT id, name, service_name, lease_ms, beat, started_at, last_beat_at FROM instance
            UNION ALL
            SELECT id, '', '', NULL, 0, min(at), max(at)
            FROM (
                SELECT instance_id, created_at FROM claim
                UNION ALL SELECT instance_id, updated_at FROM lease WHERE instance_id IS NOT NULL
                UNION ALL SELECT instance_id, joined_at FROM member) AS fenced (id, at)
            WHERE NOT EXISTS (SELECT FROM instance i WHERE i.id = fenced.id) GROUP BY id
            ORDER BY 1";
        let connection = checkout(&self.pool).await?;
        let rows: Vec<InstanceRow> = Statement::<InstanceSql>::new(sql).rows(&connection).await?;
        Ok(rows.into_iter().map(InstanceBeat::from).collect())
    }

    async fn remove_instance(&self, instance: &str, now: Timestamp) -> Result<()> {
        let mut retries = Retries::new();
        loop {
            match remove(self, instance, now).await {
                // It was giving up its leases itself at the same time, in another order.
                Err(error) if retries.again(&error).await => {}
                result => return result,
            }
        }
    }
}

#[async_trait]
impl LeaseStore for PostgresStore {
    async fn join(&self, scope: &str, instance: &str, now: Timestamp) -> Result<Vec<String>> {
        let sql = "INSERT INTO member (scope, instance_id, joined_at)
                   SELECT $1, id, $3 FROM instance WHERE id = $2 FOR KEY SHARE ON CONFLICT DO NOTHING";
        let connection = checkout(&self.pool).await?;
        let enter = Statement::<()>::new(sql)
            .bind::<Text, _>(scope)
            .bind::<Text, _>(instance)
            .bind::<UtcTimestamp, _>(now)
            .run(&connection);
        let sql = "SELECT instance_id FROM member WHERE scope = $1 ORDER BY instance_id";
        let members = Statement::<Text>::new(sql).bind::<Text, _>(scope).rows(&connection);
        Ok(try_join!(enter, members)?.1)
    }

    async fn leave(&self, scope: &str, instance: &str) -> Result<()> {
        let sql = "DELETE FROM member WHERE scope = $1 AND instance_id = $2";
        let connection = checkout(&self.pool).await?;
        Statement::<()>::new(sql).bind::<Text, _>(scope).bind::<Text, _>(instance).run(&connection).await?;
        Ok(())
    }

    async fn acquire(&self, resources: &[String], instance: &str, now: Timestamp) -> Result<Vec<Lease>> {
        let connection = checkout(&self.pool).await?;
        Ok(acquire(&connection, resources, instance, now).await?)
    }

    async fn release(&self, resources: &[String], instance: &str, now: Timestamp) -> Result<()> {
        let sql = "UPDATE lease SET instance_id = NULL, updated_at = $3
                   WHERE resource = ANY ($1) AND instance_id = $2";
        let connection = checkout(&self.pool).await?;
        Statement::<()>::new(sql)
            .bind::<Array<Text>, _>(resources)
            .bind::<Text, _>(instance)
            .bind::<UtcTimestamp, _>(now)
            .run(&connection)
            .await?;
        Ok(())
    }
}

async fn register(store: &PostgresStore, instance: &NewInstance) -> Result<Option<String>> {
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    let sql = "SELECT id FROM instance WHERE service_name = $1 AND name = $2 AND id <> $3 FOR UPDATE";
    let replaced = Statement::<Text>::new(sql)
        .bind::<Text, _>(instance.service.as_str())
        .bind::<Text, _>(instance.name.as_str())
        .bind::<Text, _>(instance.id.as_str())
        .rows::<String>(connection);
    let ((), replaced) = try_join!(connection.begin(), replaced)?;
    let replaced = replaced.into_iter().next();
    if let Some(replaced) = &replaced {
        fence(connection, replaced).await?;
    }
    let sql = "INSERT INTO instance (id, name, service_name, lease_ms, beat, started_at, last_beat_at)
               VALUES ($1, $2, $3, $5, 0, $4, $4)";
    Statement::<()>::new(sql)
        .bind::<Text, _>(instance.id.as_str())
        .bind::<Text, _>(instance.name.as_str())
        .bind::<Text, _>(instance.service.as_str())
        .bind::<UtcTimestamp, _>(instance.started_at)
        .bind::<BigInt, _>(i64::try_from(instance.lease.as_millis()).unwrap_or(i64::MAX))
        .run(connection)
        .await?;
    unit.commit().await?;
    Ok(replaced)
}

/// From now on the instance gains nothing. Its row goes first, and waits for what is gained at this moment: everybody
/// who gains something has locked it.
pub(super) async fn fence(connection: &AsyncPgConnection, instance: &str) -> QueryResult<()> {
    let remove = Statement::<()>::new("DELETE FROM instance WHERE id = $1").bind::<Text, _>(instance);
    let leave = Statement::<()>::new("DELETE FROM member WHERE instance_id = $1").bind::<Text, _>(instance);
    try_join!(remove.run(connection), leave.run(connection))?;
    Ok(())
}

async fn remove(store: &PostgresStore, instance: &str, now: Timestamp) -> Result<()> {
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    let free = Statement::<()>::new("UPDATE lease SET instance_id = NULL, updated_at = $2 WHERE instance_id = $1")
        .bind::<Text, _>(instance)
        .bind::<UtcTimestamp, _>(now);
    try_join!(connection.begin(), fence(connection, instance), free.run(connection))?;
    unit.commit().await
}

/// Takes what is free, and reads all that the instance holds. An instance that is not registered, because it was
/// fenced, gets nothing. Leases that somebody holds are not touched: that would wait for what is done under them.
async fn acquire(
    connection: &AsyncPgConnection,
    resources: &[String],
    instance: &str,
    now: Timestamp,
) -> QueryResult<Vec<Lease>> {
    let sql = "\
        WITH entered AS MATERIALIZED (SELECT id FROM instance WHERE id = $2 FOR KEY SHARE)
        INSERT INTO lease AS l (resource, instance_id, token, updated_at)
        SELECT r.resource, entered.id, 1, $3 FROM entered, unnest($1) AS r (resource)
        WHERE NOT EXISTS (SELECT FROM lease h WHERE h.resource = r.resource AND h.instance_id IS NOT NULL)
        ORDER BY r.resource
        ON CONFLICT (resource) DO UPDATE
            SET instance_id = excluded.instance_id, token = l.token + 1, updated_at = excluded.updated_at
            WHERE l.instance_id IS NULL";
    let take = Statement::<()>::new(sql)
        .bind::<Array<Text>, _>(resources)
        .bind::<Text, _>(instance)
        .bind::<UtcTimestamp, _>(now)
        .run(connection);
    let sql = "\
        SELECT l.resource, l.token FROM unnest($1) WITH ORDINALITY AS r (resource, n)
        JOIN lease l ON l.resource = r.resource
        WHERE l.instance_id = $2 AND EXISTS (SELECT FROM instance WHERE id = $2)
        ORDER BY r.n";
    let held = Statement::<(Text, BigInt)>::new(sql)
        .bind::<Array<Text>, _>(resources)
        .bind::<Text, _>(instance)
        .rows::<(String, i64)>(connection);
    let (_, held) = try_join!(take, held)?;
    Ok(held.into_iter().map(|(resource, token)| Lease { resource, token }).collect())
}

type InstanceSql = (Text, Text, Text, Nullable<BigInt>, BigInt, UtcTimestamp, UtcTimestamp);

#[derive(Queryable)]
struct InstanceRow {
    id: String,
    name: String,
    service: String,
    lease_ms: Option<i64>,
    beat: i64,
    started_at: Timestamp,
    last_beat_at: Timestamp,
}

impl From<InstanceRow> for InstanceBeat {
    fn from(row: InstanceRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            service: row.service,
            lease: row.lease_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
            beat: row.beat,
            is_gone: false,
            started_at: row.started_at,
            last_beat_at: row.last_beat_at,
        }
    }
}

/// The shards of these leases that their holder still has. Locked until the transaction ends, against a change of the
/// holder and against each other: one transaction at a time takes rows of a shard.
pub(super) async fn standing(connection: &AsyncPgConnection, leases: &[Lease]) -> QueryResult<Vec<i32>> {
    let sql = "\
        SELECT l.resource FROM unnest($1, $2) AS r (resource, token)
        JOIN lease l ON l.resource = r.resource AND l.token = r.token
        WHERE l.instance_id IS NOT NULL
        ORDER BY l.resource
        FOR NO KEY UPDATE OF l";
    let held: Vec<String> = Statement::<Text>::new(sql)
        .bind::<Array<Text>, _>(leases.iter().map(|lease| lease.resource.as_str()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(leases.iter().map(|lease| lease.token).collect::<Vec<_>>())
        .rows(connection)
        .await?;
    Ok(held.iter().filter_map(|resource| outbox_shard(resource)).collect())
}
