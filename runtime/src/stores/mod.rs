//! The databases, one folder each.

pub mod migrations;
#[cfg(feature = "postgres")]
mod postgres;
#[allow(missing_docs, reason = "`docs/schema.md` says what each column holds")]
pub mod schema;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod stage;
mod url;

use crate::{clock::Clock, error::Result, store::SharedStore};

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
    let backend = url::backend_of(&options.url)?;
    Err(crate::Error::new(crate::ErrorKind::Config, format!("no store for {} in this build", backend.name())))
}
