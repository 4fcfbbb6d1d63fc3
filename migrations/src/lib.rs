//! The embedded migrations of `tracked-events`, as scripts.
//!
//! They are ordinary Diesel migrations, but Diesel's own harness writes down what it ran in a table that it shares with
//! the service's migrations. So this crate only hands out each migration's SQL; the runtime runs it under its own lock
//! and keeps its own table.

#![cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(unused, reason = "there are no migrations then"))]

use std::any::Any;

use diesel::{QueryResult, backend::Backend, connection::BoxableConnection, connection::SimpleConnection};
use diesel_migrations::EmbeddedMigrations;

#[cfg(feature = "sqlite")]
const SQLITE: EmbeddedMigrations = diesel_migrations::embed_migrations!("sqlite");
#[cfg(feature = "postgres")]
const POSTGRES: EmbeddedMigrations = diesel_migrations::embed_migrations!("postgres");

/// One step of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its number; the order in which migrations run.
    pub version: String,
    /// Its number and what it does, as its folder is named.
    pub name: String,
    /// The SQL that makes the step.
    pub up: String,
}

/// The migrations of SQLite, in their order.
///
/// # Errors
/// When a migration is not a script.
#[cfg(feature = "sqlite")]
pub fn sqlite() -> diesel::migration::Result<Vec<Migration>> {
    scripts::<diesel::sqlite::Sqlite>(&SQLITE)
}

/// The migrations of PostgreSQL, in their order.
///
/// # Errors
/// When a migration is not a script.
#[cfg(feature = "postgres")]
pub fn postgres() -> diesel::migration::Result<Vec<Migration>> {
    scripts::<diesel::pg::Pg>(&POSTGRES)
}

#[allow(dead_code, reason = "a build without a database has no migrations")]
fn scripts<DB: Backend + 'static>(source: &EmbeddedMigrations) -> diesel::migration::Result<Vec<Migration>>
where
    Script: BoxableConnection<DB>,
{
    use diesel::migration::MigrationSource;

    let mut migrations = Vec::new();
    for migration in MigrationSource::<DB>::migrations(source)? {
        let mut script = Script::default();
        migration.run(&mut script)?;
        let name = migration.name();
        migrations.push(Migration { version: name.version().to_string(), name: name.to_string(), up: script.0 });
    }
    migrations.sort_by(|a, b| a.version.cmp(&b.version));
    Ok(migrations)
}

/// A connection to nowhere, which keeps what it is told to run.
#[derive(Default)]
struct Script(String);

impl SimpleConnection for Script {
    fn batch_execute(&mut self, sql: &str) -> QueryResult<()> {
        self.0.push_str(sql);
        Ok(())
    }
}

macro_rules! boxable {
    ($($feature:literal => $backend:ty),* $(,)?) => {$(
        #[cfg(feature = $feature)]
        impl BoxableConnection<$backend> for Script {
            fn as_any(&self) -> &dyn Any {
                self
            }

            fn as_any_mut(&mut self) -> &mut dyn Any {
                self
            }
        }
    )*};
}

boxable! {
    "sqlite" => diesel::sqlite::Sqlite,
    "postgres" => diesel::pg::Pg,
}

#[cfg(all(test, feature = "sqlite", feature = "postgres"))]
mod tests {
    use super::*;

    #[test]
    fn every_database_has_the_same_migrations() {
        let names = |migrations: Vec<Migration>| migrations.into_iter().map(|m| m.name).collect::<Vec<_>>();
        let sqlite = names(sqlite().unwrap());
        assert!(!sqlite.is_empty());
        assert_eq!(sqlite, names(postgres().unwrap()));
    }
}
