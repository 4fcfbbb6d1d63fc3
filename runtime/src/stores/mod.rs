//! The databases, one folder each.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod abandoned;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod fenced;
pub mod migrations;
#[cfg(feature = "postgres")]
mod postgres;
#[allow(missing_docs, reason = "`docs/schema.md` says what each column holds")]
pub mod schema;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod stage;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod unwanted;
mod url;

pub(crate) use url::backend_of;

use crate::{clock::Clock, connection::Backend, error::Result, store::SharedStore};

/// Which database to open, and how.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite:PATH`, `sqlite::memory:` (a temporary file of its own, migrated) or `postgres://…`.
    pub url: String,
    /// How many handlers may hold a transaction at once, where the database allows more than one.
    pub max_connections: u32,
    /// The clock of the service; a test's takes the place of the database's.
    pub clock: Clock,
}

/// Opens the database that the URL names. Its schema must be there already: see [`migrations`].
///
/// # Errors
/// When no database of this build has such a URL, or it cannot be reached.
pub async fn open(options: &StoreOptions) -> Result<SharedStore> {
    match url::backend_of(&options.url)? {
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => Ok(std::sync::Arc::new(sqlite::SqliteStore::open(options).await?)),
        #[cfg(feature = "postgres")]
        Backend::Postgres => Ok(std::sync::Arc::new(postgres::PostgresStore::open(options).await?)),
    }
}
