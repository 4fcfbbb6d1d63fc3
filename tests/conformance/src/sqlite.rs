//! SQLite, in a temporary folder.
#![cfg(feature = "sqlite")]

use crate::Fixture;

/// A fresh database.
pub async fn fixture() -> Option<Fixture> {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("record.db").display());
    tracked_events::stores::migrations::migrate(&url).await.unwrap();
    Some(Fixture::open(url, folder).await)
}
