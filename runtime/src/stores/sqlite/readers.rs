//! Reading: a few connections that cannot write, on threads that may block. Readers never wait for the writer.

use std::sync::{Arc, Mutex, PoisonError};

use diesel::sqlite::SqliteConnection;
use tokio::sync::Semaphore;

use super::connect::Location;
use crate::error::{Error, ErrorKind, Result};

/// How many read at the same time.
const READERS: usize = 4;

/// A pool of connections; opened when first needed.
#[derive(Clone)]
pub(super) struct Readers(Arc<Pool>);

struct Pool {
    location: Location,
    idle: Mutex<Vec<SqliteConnection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(location: Location) -> Self {
        Self(Arc::new(Pool { location, idle: Mutex::default(), permits: Arc::new(Semaphore::new(READERS)) }))
    }

    /// Runs `work` on a snapshot that sees every commit before the call.
    pub(super) async fn read<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut SqliteConnection) -> Result<T> + Send + 'static,
    {
        let stopped = || Error::new(ErrorKind::ShuttingDown, "the runtime is shutting down");
        let permit = Arc::clone(&self.0.permits).acquire_owned().await.map_err(|_| stopped())?;
        let pool = Arc::clone(&self.0);
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut connection = pool.take()?;
            let result = work(&mut connection);
            pool.put_back(connection);
            result
        });
        reading.await.map_err(|error| {
            if error.is_panic() {
                Error::new(ErrorKind::Store, "an operation of the store panicked")
            } else {
                stopped()
            }
        })?
    }
}

impl Pool {
    fn take(&self) -> Result<SqliteConnection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.location.reader(), Ok)
    }

    fn put_back(&self, connection: SqliteConnection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}
