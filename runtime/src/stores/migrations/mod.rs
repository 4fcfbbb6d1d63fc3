//! Brings a database's tables to the form that this version of the library needs.
//!
//! What ran is written down in a table of our own, `tracked_events_migrations`, so that a service's own
//! `diesel migration revert` never meets our migrations. Each migration is one transaction together with its row in
//! that table, under a lock across processes: instances that start at once on an empty database migrate it once.
//! [`check`] only reads, so that a role without the right to change tables can run a service.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt::Write;

use serde::Serialize;
use tracked_events_migrations::Migration;

use super::url::backend_of;
use crate::{
    connection::Backend,
    error::{Error, ErrorKind, Result},
};

/// Where a database's tables stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "schema", rename_all = "snake_case")]
pub enum SchemaState {
    /// As this version needs them.
    Current,
    /// Older: these migrations have not run yet.
    Behind {
        /// Their names.
        missing: Vec<String>,
    },
    /// Newer: these migrations, of a later version of the library, have run.
    Ahead {
        /// Their numbers.
        unknown: Vec<String>,
    },
    /// There are none.
    Missing,
}

impl SchemaState {
    /// `Ok` when the database can be used as it is.
    ///
    /// # Errors
    /// What is wrong with its tables, and the command that mends it.
    pub fn require_current(&self) -> Result<()> {
        let problem = match self {
            Self::Current => return Ok(()),
            Self::Missing => "the database has no tables of tracked-events; run the `migrate` command".to_owned(),
            Self::Behind { missing } => {
                format!("the database lacks {}; run the `migrate` command", quoted(missing))
            }
            Self::Ahead { unknown } => {
                let unknown = quoted(unknown);
                format!("the database was migrated by a newer version ({unknown}); update this program")
            }
        };
        Err(Error::new(ErrorKind::Schema, problem))
    }

    /// Compares what ran, `None` when there is no table that says so, with what this version knows.
    fn of(applied: Option<&[String]>, known: &[Migration]) -> Self {
        let Some(applied) = applied else { return Self::Missing };
        let unknown: Vec<_> =
            applied.iter().filter(|&version| known.iter().all(|step| step.version != *version)).cloned().collect();
        let missing: Vec<_> =
            known.iter().filter(|step| !applied.contains(&step.version)).map(|step| step.name.clone()).collect();
        match (unknown.is_empty(), missing.is_empty()) {
            (false, _) => Self::Ahead { unknown },
            (true, true) => Self::Current,
            (true, false) if applied.is_empty() => Self::Missing,
            (true, false) => Self::Behind { missing },
        }
    }
}

/// Runs the migrations that are missing, and returns their names.
///
/// Safe to call from several processes at once: the later ones wait, and find nothing left to do.
///
/// # Errors
/// When the database cannot be reached, refuses, or was migrated by a newer version.
pub async fn migrate(url: &str) -> Result<Vec<String>> {
    match backend_of(url)? {
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => sqlite::migrate(url).await,
        #[cfg(feature = "postgres")]
        Backend::Postgres => postgres::migrate(url).await,
    }
}

/// Reads where the database's tables stand, and changes nothing.
///
/// # Errors
/// When the database cannot be reached.
pub async fn check(url: &str) -> Result<SchemaState> {
    match backend_of(url)? {
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => sqlite::check(url).await,
        #[cfg(feature = "postgres")]
        Backend::Postgres => postgres::check(url).await,
    }
}

/// Everything [`migrate`] would run on an empty database, for those who run it by hand.
///
/// # Errors
/// When this build's migrations cannot be read.
pub fn print_sql(backend: Backend) -> Result<String> {
    let mut script = String::new();
    for step in known(backend)? {
        let insert = insert_version(&step);
        // Writing to a `String` cannot fail.
        let _ =
            writeln!(script, "-- {}\nBEGIN;\n{}\n{}\n{insert}\nCOMMIT;\n", step.name, create_table(backend), step.up);
    }
    Ok(script)
}

fn known(backend: Backend) -> Result<Vec<Migration>> {
    let steps: diesel::migration::Result<Vec<Migration>> = match backend {
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => tracked_events_migrations::sqlite(),
        #[cfg(feature = "postgres")]
        Backend::Postgres => tracked_events_migrations::postgres(),
    };
    steps.map_err(|error| Error::new(ErrorKind::Schema, "the migrations of this build cannot be read").caused_by(error))
}

fn create_table(backend: Backend) -> &'static str {
    match backend {
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => {
            "CREATE TABLE IF NOT EXISTS tracked_events_migrations (version TEXT PRIMARY KEY, name TEXT NOT NULL, \
             applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now'))) STRICT;"
        }
        #[cfg(feature = "postgres")]
        Backend::Postgres => {
            "CREATE TABLE IF NOT EXISTS tracked_events_migrations (version TEXT PRIMARY KEY, name TEXT NOT NULL, \
             applied_at TIMESTAMPTZ NOT NULL DEFAULT now());"
        }
    }
}

/// Names come from folders of this repository, without quotes.
fn insert_version(step: &Migration) -> String {
    format!("INSERT INTO tracked_events_migrations (version, name) VALUES ('{}', '{}');", step.version, step.name)
}

fn failed(step: &Migration, error: impl Into<crate::BoxError>) -> Error {
    Error::new(ErrorKind::Schema, format!("migration `{}` failed and changed nothing", step.name)).caused_by(error)
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(version: &str) -> Migration {
        Migration { version: version.into(), name: format!("{version}_do_it"), up: String::new() }
    }

    fn state(applied: &[&str], known: &[&str]) -> SchemaState {
        let applied: Vec<_> = applied.iter().map(|&version| version.to_owned()).collect();
        let known: Vec<_> = known.iter().copied().map(step).collect();
        SchemaState::of(Some(&applied), &known)
    }

    #[test]
    fn an_older_schema_names_what_is_missing_and_a_newer_one_what_is_unknown() {
        assert_eq!(state(&["1", "2"], &["1", "2"]), SchemaState::Current);
        assert_eq!(state(&["1"], &["1", "2"]), SchemaState::Behind { missing: vec!["2_do_it".into()] });
        assert_eq!(state(&["1", "2"], &["1"]), SchemaState::Ahead { unknown: vec!["2".into()] });
        assert_eq!(state(&[], &["1"]), SchemaState::Missing);
    }

    #[test]
    fn a_schema_that_does_not_fit_is_refused_with_the_cure() {
        let older = SchemaState::Behind { missing: vec!["2_do_it".into()] }.require_current().unwrap_err();
        assert_eq!(older.kind(), ErrorKind::Schema);
        assert!(older.to_string().ends_with("run the `migrate` command"), "{older}");
        let newer = SchemaState::Ahead { unknown: vec!["2".into()] }.require_current().unwrap_err();
        assert!(newer.to_string().ends_with("update this program"), "{newer}");
    }
}
