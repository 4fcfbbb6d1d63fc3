//! Migrating PostgreSQL: an advisory lock, held for each migration's transaction.

use diesel::sql_types::{Bool, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use tracked_events_migrations::Migration;

use super::{SchemaState, create_table, failed, insert_version, known};
use crate::{
    connection::Backend,
    error::{Error, ErrorKind, Result},
    stores::postgres::{Use, connect},
};

/// Waits for an instance that migrates, within the transaction that is to migrate. The number is ours alone.
const LOCK: &str = "BEGIN; SET LOCAL lock_timeout = '60s'; \
                    SELECT pg_advisory_xact_lock(8314427613370581);";

pub(super) async fn migrate(url: &str) -> Result<Vec<String>> {
    let steps = known(Backend::Postgres)?;
    let mut connection = connect(url, Use::Migration).await?;
    let mut done = Vec::new();
    while let Some(name) = run_next(&mut connection, &steps).await? {
        done.push(name);
    }
    Ok(done)
}

pub(super) async fn check(url: &str) -> Result<SchemaState> {
    let known = known(Backend::Postgres)?;
    let applied = applied(&mut connect(url, Use::Migration).await?).await?;
    Ok(SchemaState::of(applied.as_deref(), &known))
}

/// Runs the first migration that has not run yet, if there is one. After an error the connection is not used again,
/// so that the server rolls back.
async fn run_next(connection: &mut AsyncPgConnection, steps: &[Migration]) -> Result<Option<String>> {
    connection.batch_execute(LOCK).await.map_err(|error| {
        let problem = "another instance is migrating the database; try again when it is done";
        Error::new(ErrorKind::StoreUnavailable, problem).caused_by(error)
    })?;
    let applied = applied(connection).await?;
    if let state @ SchemaState::Ahead { .. } = SchemaState::of(applied.as_deref(), steps) {
        state.require_current()?;
    }
    let applied = applied.unwrap_or_default();
    let step = steps.iter().find(|step| !applied.contains(&step.version));
    if let Some(step) = step {
        let script = format!("{}{}{}", create_table(Backend::Postgres), step.up, insert_version(step));
        connection.batch_execute(&script).await.map_err(|error| failed(step, error))?;
    }
    connection.batch_execute("COMMIT").await?;
    Ok(step.map(|step| step.name.clone()))
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    found: bool,
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

/// The migrations that ran; `None` without the table that says so.
async fn applied(connection: &mut AsyncPgConnection) -> Result<Option<Vec<String>>> {
    let table = sql_query("SELECT to_regclass('tracked_events_migrations') IS NOT NULL AS found");
    if !table.get_result::<Found>(connection).await?.found {
        return Ok(None);
    }
    let rows = sql_query("SELECT version FROM tracked_events_migrations").load::<Applied>(connection).await?;
    Ok(Some(rows.into_iter().map(|row| row.version).collect()))
}
