//! Migrating SQLite: an exclusive transaction is the lock.

use std::path::Path;

use diesel::{
    Connection, QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_types::Text,
};
use tracked_events_migrations::Migration;

use super::{SchemaState, create_table, failed, insert_version, known};
use crate::{
    connection::Backend,
    error::{Error, ErrorKind, Result},
    stores::url::sqlite_path,
};

/// How long to wait for an instance that migrates.
const LOCK_TIMEOUT: &str = "PRAGMA busy_timeout = 60000;";

pub(super) async fn migrate(url: &str) -> Result<Vec<String>> {
    let path = sqlite_path(url).to_owned();
    blocking(move || migrate_file(&path)).await
}

pub(super) async fn check(url: &str) -> Result<SchemaState> {
    let path = sqlite_path(url).to_owned();
    blocking(move || {
        // Opening a database that is not there would make it.
        if !Path::new(&path).exists() {
            return Ok(SchemaState::Missing);
        }
        let known = known(Backend::Sqlite)?;
        let applied = applied(&mut open(&path)?)?;
        Ok(SchemaState::of(applied.as_deref(), &known))
    })
    .await
}

fn migrate_file(path: &str) -> Result<Vec<String>> {
    let steps = known(Backend::Sqlite)?;
    let mut connection = open(path)?;
    let mut done = Vec::new();
    while let Some(name) = connection.exclusive_transaction(|connection| run_next(connection, &steps))? {
        done.push(name);
    }
    Ok(done)
}

/// Runs the first migration that has not run yet, if there is one.
fn run_next(connection: &mut SqliteConnection, steps: &[Migration]) -> Result<Option<String>> {
    let applied = applied(connection)?;
    if let state @ SchemaState::Ahead { .. } = SchemaState::of(applied.as_deref(), steps) {
        state.require_current()?;
    }
    let applied = applied.unwrap_or_default();
    let Some(step) = steps.iter().find(|step| !applied.contains(&step.version)) else { return Ok(None) };
    let script = format!("{}{}{}", create_table(Backend::Sqlite), step.up, insert_version(step));
    connection.batch_execute(&script).map_err(|error| failed(step, error))?;
    Ok(Some(step.name.clone()))
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

/// The migrations that ran; `None` without the table that says so.
fn applied(connection: &mut SqliteConnection) -> Result<Option<Vec<String>>> {
    let table = "SELECT name AS version FROM sqlite_master WHERE type = 'table' AND name = 'tracked_events_migrations'";
    if diesel::sql_query(table).load::<Applied>(connection)?.is_empty() {
        return Ok(None);
    }
    let rows = diesel::sql_query("SELECT version FROM tracked_events_migrations").load::<Applied>(connection)?;
    Ok(Some(rows.into_iter().map(|row| row.version).collect()))
}

fn open(path: &str) -> Result<SqliteConnection> {
    let mut connection = SqliteConnection::establish(path).map_err(|error| {
        let problem = format!("the database `{path}` cannot be opened; check that its folder is there and writable");
        Error::new(ErrorKind::StoreUnavailable, problem).caused_by(error)
    })?;
    connection.batch_execute(LOCK_TIMEOUT)?;
    Ok(connection)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) if stopped.is_panic() => std::panic::resume_unwind(stopped.into_panic()),
        Err(_) => Err(Error::new(ErrorKind::ShuttingDown, "the runtime is shutting down")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn instances_that_start_at_once_migrate_an_empty_database_once() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("empty.db").display());
        let starts: Vec<_> = (0..4)
            .map(|_| {
                tokio::spawn({
                    let url = url.clone();
                    async move { migrate(&url).await.unwrap() }
                })
            })
            .collect();
        let mut done = Vec::new();
        for start in starts {
            done.extend(start.await.unwrap());
        }
        let names: Vec<_> = known(Backend::Sqlite).unwrap().into_iter().map(|step| step.name).collect();
        assert_eq!(done, names);
        assert_eq!(check(&url).await.unwrap(), SchemaState::Current);
    }

    #[tokio::test]
    async fn a_database_that_is_not_there_is_not_made_by_a_check() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent.db");
        assert_eq!(check(&format!("sqlite:{}", path.display())).await.unwrap(), SchemaState::Missing);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_newer_database_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("newer.db").display().to_string();
        migrate(&format!("sqlite:{path}")).await.unwrap();
        let later = "INSERT INTO tracked_events_migrations (version, name) VALUES ('99999999', 'later')";
        open(&path).unwrap().batch_execute(later).unwrap();
        let error = migrate(&format!("sqlite:{path}")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
    }
}
