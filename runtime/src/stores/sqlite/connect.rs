//! Opening connections to a database file.

use std::path::{Path, PathBuf};

use diesel::{Connection, connection::SimpleConnection, sqlite::SqliteConnection};

use crate::{
    error::{Error, ErrorKind, Result},
    stores::url::sqlite_path,
};

/// Each a statement of its own, the timeout first, so that the others wait for a lock too.
const SETTINGS: [&str; 6] = [
    "PRAGMA busy_timeout = 10000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32768",
];
/// Fewer and larger checkpoints than SQLite's own: the log grows to 16 MB before it is copied back.
const WRITER_SETTINGS: &str = "PRAGMA wal_autocheckpoint = 4000";
const READER_SETTINGS: &str = "PRAGMA query_only = ON";

/// A database file.
#[derive(Clone, Debug)]
pub(super) struct Location {
    path: PathBuf,
}

impl Location {
    /// Reads `sqlite:PATH`, `sqlite://PATH`, and `sqlite::memory:`, which is a file that goes with the store: each
    /// connection to a database in memory would be a database of its own.
    pub(super) fn from_url(url: &str) -> Result<(Self, Option<Scratch>)> {
        let path = sqlite_path(url);
        if path == ":memory:" {
            let scratch = Scratch::new();
            return Ok((Self { path: scratch.path.clone() }, Some(scratch)));
        }
        if path.is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                format!("the database url `{url}` names no file; write one such as `sqlite:tracked.db`"),
            ));
        }
        Ok((Self { path: path.into() }, None))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A connection that may write.
    pub(super) fn writer(&self) -> Result<SqliteConnection> {
        self.open(WRITER_SETTINGS)
    }

    /// A connection that cannot write.
    pub(super) fn reader(&self) -> Result<SqliteConnection> {
        self.open(READER_SETTINGS)
    }

    fn open(&self, last: &str) -> Result<SqliteConnection> {
        let mut connection =
            SqliteConnection::establish(&self.path.to_string_lossy()).map_err(|error| self.refused(error))?;
        for setting in SETTINGS.into_iter().chain([last]) {
            connection.batch_execute(setting).map_err(|error| self.refused(error))?;
        }
        Ok(connection)
    }

    fn refused(&self, error: impl Into<crate::BoxError>) -> Error {
        let path = self.path.display();
        Error::new(
            ErrorKind::StoreUnavailable,
            format!("the database `{path}` cannot be opened; check that its folder is there and can be written to"),
        )
        .caused_by(error)
    }
}

/// A database file that is removed with its store.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        Self { path: std::env::temp_dir().join(format!("tracked-{}.db", uuid::Uuid::now_v7())) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            // What is not there needs no removing, and a file left in the temporary folder does no harm.
            let _ = std::fs::remove_file(path);
        }
        let mut instances = self.path.clone().into_os_string();
        instances.push("-instances");
        let _ = std::fs::remove_dir_all(instances);
    }
}
