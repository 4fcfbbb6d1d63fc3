//! The connections of a process, and the store's own transactions on them.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, Timeouts};
use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection, pooled_connection::PoolableConnection};
use tokio_postgres::CancelToken;

use super::{
    address::Address,
    connect::{Use, connect_to},
};
use crate::error::{Error, ErrorKind, Result};

/// How long to wait for a connection when all are in use.
const WAIT: Duration = Duration::from_secs(30);

/// Makes connections for one use.
pub(super) struct Connections {
    address: Address,
    purpose: Use,
}

pub(super) type Connection = Object<Connections>;

/// A connection of a pool.
pub(super) struct Pooled {
    connection: AsyncPgConnection,
    /// Whether it is never to be used again.
    spoiled: bool,
}

impl Pooled {
    /// It is never to be used again: [`discard_spoiled`] closes it, or the pool does when it comes to it.
    pub(super) fn spoil(&mut self) {
        self.spoiled = true;
    }
}

impl Deref for Pooled {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }
}

/// Stops what the server still runs for a connection that was spoiled and given back, and closes it.
pub(super) async fn stop_spoiled(pool: &Pool<Connections>, running: &CancelToken) {
    pool.manager().address.cancel(running).await;
    discard_spoiled(pool);
}

/// Closes what was spoiled and is back in the pool.
fn discard_spoiled(pool: &Pool<Connections>) {
    pool.retain(|pooled, _| !pooled.spoiled);
}

impl Connections {
    pub(super) fn pool(address: &Address, purpose: Use, size: usize) -> Result<Pool<Self>> {
        let manager = Self { address: address.clone(), purpose };
        Pool::builder(manager)
            .max_size(size)
            .runtime(deadpool::Runtime::Tokio1)
            .timeouts(Timeouts { wait: Some(WAIT), create: Some(WAIT), recycle: None })
            .build()
            .map_err(|error| Error::new(ErrorKind::Config, "the connection pool cannot be built").caused_by(error))
    }
}

impl Manager for Connections {
    type Type = Pooled;
    type Error = Error;

    /// Whatever keeps it from being opened, another may be opened later: the address was good when the store was opened,
    /// and a server may be reached through several doors.
    async fn create(&self) -> Result<Pooled> {
        let connection = connect_to(&self.address, self.purpose).await.map_err(|error| {
            Error::new(ErrorKind::StoreUnavailable, "no connection to PostgreSQL can be opened now").caused_by(error)
        })?;
        Ok(Pooled { connection, spoiled: false })
    }

    /// Asks the client only: a query at each reuse would double the round trips of a short operation.
    async fn recycle(&self, pooled: &mut Pooled, _: &Metrics) -> RecycleResult<Error> {
        if pooled.spoiled || pooled.is_broken() {
            Err(RecycleError::message("the connection is broken"))
        } else {
            Ok(())
        }
    }
}

pub(super) async fn checkout(pool: &Pool<Connections>) -> Result<Connection> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error,
        PoolError::Timeout(_) => Error::new(
            ErrorKind::StoreUnavailable,
            "no connection to PostgreSQL became free in time; raise `max_connections` or look for what blocks",
        )
        .caused_by(error),
        error => Error::new(ErrorKind::ShuttingDown, "the connection pool is closed").caused_by(error),
    })
}

/// A transaction of the store. Dropped before it has ended, it takes its connection with it, so that the server rolls
/// back and nobody else gets a connection with a transaction open.
pub(super) struct Unit(Option<Connection>);

impl Unit {
    /// On a connection of the pool. Nothing is sent yet: the caller sends [`BEGIN`](Self::begin) together with its
    /// first statements.
    pub(super) async fn on(pool: &Pool<Connections>) -> Result<Self> {
        Ok(Self(Some(checkout(pool).await?)))
    }

    pub(super) fn connection(&self) -> Result<&AsyncPgConnection> {
        self.0
            .as_ref()
            .map(|pooled| &***pooled)
            .ok_or_else(|| Error::new(ErrorKind::Store, "the transaction has ended"))
    }

    pub(super) async fn commit(self) -> Result<()> {
        self.end("COMMIT").await
    }

    pub(super) async fn rollback(self) -> Result<()> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, how: &str) -> Result<()> {
        self.connection()?.batch(how).await?;
        // Back to the pool.
        drop(self.0.take());
        Ok(())
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

/// Simple statements through a shared reference, so that they can be sent together with others.
pub(super) trait Batch {
    /// Runs statements without values. Sent when the future is first polled.
    async fn batch(&self, sql: &str) -> QueryResult<()>;

    /// Opens a transaction.
    async fn begin(&self) -> QueryResult<()> {
        self.batch("BEGIN").await
    }
}

impl Batch for AsyncPgConnection {
    async fn batch(&self, sql: &str) -> QueryResult<()> {
        let mut connection = self;
        connection.batch_execute(sql).await
    }
}

/// How often an operation that lost against another is run again.
pub(super) struct Retries(u32);

impl Retries {
    const MOST: u32 = 6;

    pub(super) fn new() -> Self {
        Self(0)
    }

    /// Whether to run it again, after the pause that this took.
    pub(super) async fn again(&mut self, error: &Error) -> bool {
        if self.0 >= Self::MOST || !lost_to_another(error) {
            return false;
        }
        self.0 += 1;
        tokio::time::sleep(Duration::from_millis(1 << self.0)).await;
        true
    }
}

/// Whether the server rolled back because of another transaction: a deadlock, or a row that came to be meanwhile.
fn lost_to_another(error: &Error) -> bool {
    use diesel::result::{DatabaseErrorKind as Db, Error as Diesel};
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Diesel>());
    match source {
        Some(Diesel::DatabaseError(Db::SerializationFailure | Db::UniqueViolation, _)) => true,
        Some(Diesel::DatabaseError(_, info)) => info.message() == "deadlock detected",
        _ => false,
    }
}
