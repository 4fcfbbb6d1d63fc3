//! Instances, their beats, and what each of them owns.

use std::time::Duration;

use async_trait::async_trait;
use diesel::{
    QueryResult, Queryable,
    sql_types::{BigInt, Integer, Nullable, Text},
    sqlite::SqliteConnection,
};

use super::{
    SqliteStore,
    presence::{Presence, Seen},
};
use crate::{
    clock::{Clock, Timestamp},
    error::Result,
    store::{InstanceBeat, InstanceStore, Lease, LeaseStore, NewInstance},
    stores::schema::UtcTimestamp,
};

#[async_trait]
impl InstanceStore for SqliteStore {
    async fn now(&self) -> Result<Timestamp> {
        // SQLite lives in this process: its clock is the system's, unless a test has the clock in hand.
        Ok(if self.clock.is_manual() { self.clock.now() } else { Clock::system().now() })
    }

    async fn register(&self, instance: NewInstance) -> Result<Option<String>> {
        // Before its row can be seen: an instance without a file is taken to have ended.
        self.presence.enter(&instance.id, instance.started_at)?;
        let id = instance.id.clone();
        let registered = self.write(move |connection| register(connection, &instance)).await;
        registered.inspect_err(|_| self.presence.leave(&id))
    }

    async fn beat(&self, instance: &str, now: Timestamp) -> Result<bool> {
        let (presence, instance) = (self.presence.clone(), instance.to_owned());
        self.read(move |connection| {
            let found =
                first!(connection, "SELECT 1 FROM instance WHERE id = ?1" => Integer, Text = instance.as_str())?;
            let stands = found == Some(1);
            if stands {
                presence.beat(&instance, now)?;
            }
            Ok(stands)
        })
        .await
    }

    async fn instances(&self) -> Result<Vec<InstanceBeat>> {
        let presence = self.presence.clone();
        self.read(move |connection| {
            let rows: Vec<InstanceRow> = load!(
                connection,
                "SELECT id, name, service_name, lease_ms, beat, started_at, last_beat_at FROM instance
                 UNION ALL
                 SELECT id, '', '', NULL, 0, min(at), max(at)
                 FROM (
                     SELECT instance_id AS id, created_at AS at FROM claim
                     UNION ALL SELECT instance_id, updated_at FROM lease WHERE instance_id IS NOT NULL
                     UNION ALL SELECT instance_id, joined_at FROM member) AS fenced
                 WHERE id NOT IN (SELECT id FROM instance) GROUP BY id
                 ORDER BY 1" =>
                    (Text, Text, Text, Nullable<BigInt>, BigInt, UtcTimestamp, UtcTimestamp)
            )?;
            Ok(rows.into_iter().map(|row| row.seen(&presence)).collect())
        })
        .await
    }

    async fn remove_instance(&self, instance: &str, now: Timestamp) -> Result<()> {
        let id = instance.to_owned();
        self.write(move |connection| Ok(remove(connection, &id, now)?)).await?;
        self.presence.leave(instance);
        Ok(())
    }
}

#[async_trait]
impl LeaseStore for SqliteStore {
    async fn join(&self, scope: &str, instance: &str, now: Timestamp) -> Result<Vec<String>> {
        let (scope, instance) = (scope.to_owned(), instance.to_owned());
        self.write(move |connection| {
            execute!(
                connection,
                "INSERT INTO member (scope, instance_id, joined_at)
                 SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM instance WHERE id = ?2) ON CONFLICT DO NOTHING",
                Text = scope.as_str(),
                Text = instance,
                UtcTimestamp = now
            )?;
            Ok(load!(connection, "SELECT instance_id FROM member WHERE scope = ?1 ORDER BY instance_id" => Text, Text = scope.as_str())?)
        })
        .await
    }

    async fn leave(&self, scope: &str, instance: &str) -> Result<()> {
        let (scope, instance) = (scope.to_owned(), instance.to_owned());
        self.write(move |connection| {
            execute!(
                connection,
                "DELETE FROM member WHERE scope = ?1 AND instance_id = ?2",
                Text = scope,
                Text = instance
            )?;
            Ok(())
        })
        .await
    }

    async fn acquire(&self, resources: &[String], instance: &str, now: Timestamp) -> Result<Vec<Lease>> {
        let (resources, instance) = (resources.to_vec(), instance.to_owned());
        self.write(move |connection| {
            let mut held = Vec::new();
            for resource in resources {
                if let Some(token) = acquire(connection, &resource, &instance, now)? {
                    held.push(Lease { resource, token });
                }
            }
            Ok(held)
        })
        .await
    }

    async fn release(&self, resources: &[String], instance: &str, now: Timestamp) -> Result<()> {
        let (resources, instance) = (resources.to_vec(), instance.to_owned());
        self.write(move |connection| {
            for resource in resources {
                execute!(
                    connection,
                    "UPDATE lease SET instance_id = NULL, updated_at = ?3 WHERE resource = ?1 AND instance_id = ?2",
                    Text = resource,
                    Text = instance.as_str(),
                    UtcTimestamp = now
                )?;
            }
            Ok(())
        })
        .await
    }
}

fn register(connection: &mut SqliteConnection, instance: &NewInstance) -> Result<Option<String>> {
    let replaced: Option<String> = first!(
        connection,
        "SELECT id FROM instance WHERE service_name = ?1 AND name = ?2 AND id <> ?3" => Text,
        Text = instance.service.as_str(),
        Text = instance.name.as_str(),
        Text = instance.id.as_str()
    )?;
    if let Some(replaced) = &replaced {
        fence(connection, replaced)?;
    }
    execute!(
        connection,
        "INSERT INTO instance (id, name, service_name, lease_ms, beat, started_at, last_beat_at)
         VALUES (?1, ?2, ?3, ?5, 0, ?4, ?4)",
        Text = instance.id.as_str(),
        Text = instance.name.as_str(),
        Text = instance.service.as_str(),
        UtcTimestamp = instance.started_at,
        BigInt = i64::try_from(instance.lease.as_millis()).unwrap_or(i64::MAX)
    )?;
    Ok(replaced)
}

/// From now on the instance gains nothing.
pub(super) fn fence(connection: &mut SqliteConnection, instance: &str) -> QueryResult<()> {
    execute!(connection, "DELETE FROM instance WHERE id = ?1", Text = instance)?;
    execute!(connection, "DELETE FROM member WHERE instance_id = ?1", Text = instance)?;
    Ok(())
}

fn remove(connection: &mut SqliteConnection, instance: &str, now: Timestamp) -> QueryResult<()> {
    fence(connection, instance)?;
    execute!(
        connection,
        "UPDATE lease SET instance_id = NULL, updated_at = ?2 WHERE instance_id = ?1",
        Text = instance,
        UtcTimestamp = now
    )?;
    Ok(())
}

/// Takes a resource that is free or already the instance's; its token, or `None` when another has it. An instance that
/// is not registered, because it was fenced, gets nothing.
fn acquire(
    connection: &mut SqliteConnection,
    resource: &str,
    instance: &str,
    now: Timestamp,
) -> QueryResult<Option<i64>> {
    let known = first!(connection, "SELECT 1 FROM instance WHERE id = ?1" => Integer, Text = instance)?;
    let Some(1) = known else { return Ok(None) };
    let standing: Option<(Option<String>, i64)> = first!(
        connection,
        "SELECT instance_id, token FROM lease WHERE resource = ?1" => (Nullable<Text>, BigInt),
        Text = resource
    )?;
    if let Some((Some(holder), token)) = standing {
        return Ok((holder == instance).then_some(token));
    }
    first!(
        connection,
        "INSERT INTO lease (resource, instance_id, token, updated_at) VALUES (?1, ?2, 1, ?3)
         ON CONFLICT DO UPDATE SET instance_id = excluded.instance_id, token = token + 1,
             updated_at = excluded.updated_at
         RETURNING token" => BigInt,
        Text = resource,
        Text = instance,
        UtcTimestamp = now
    )
}

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

impl InstanceRow {
    /// With what is known of its process.
    fn seen(self, presence: &Presence) -> InstanceBeat {
        let (beat, at, is_gone) = match presence.look(&self.id) {
            Seen::Beating(beat, at) => (beat, at, false),
            Seen::Gone => (self.beat, None, true),
        };
        InstanceBeat {
            id: self.id,
            name: self.name,
            service: self.service,
            lease: self.lease_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
            beat,
            is_gone,
            started_at: self.started_at,
            last_beat_at: at.unwrap_or(self.last_beat_at),
        }
    }
}
