//! The connection a handler or publishing function writes on: in the library's transaction, or in the caller's.

use crate::error::HandlerError;

#[cfg(feature = "sqlite")]
mod in_place;

#[cfg(feature = "sqlite")]
pub use self::in_place::InPlace;

/// A Diesel connection to SQLite that can be awaited.
#[cfg(feature = "sqlite")]
pub type AsyncSqliteConnection =
    diesel_async::sync_connection_wrapper::SyncConnectionWrapper<diesel::sqlite::SqliteConnection, InPlace>;

/// The databases that this build can speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// SQLite, embedded.
    #[cfg(feature = "sqlite")]
    Sqlite,
    /// PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres,
}

impl Backend {
    /// Whether one transaction at a time can write.
    pub(crate) fn has_one_writer(self) -> bool {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => true,
            #[cfg(feature = "postgres")]
            Self::Postgres => false,
        }
    }

    /// The database's name, as `db.system` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => "sqlite",
            #[cfg(feature = "postgres")]
            Self::Postgres => "postgresql",
        }
    }
}

/// An open transaction on whichever database the service runs on.
///
/// Write a query once with [`on!`](crate::on) and it runs on every compiled backend. What is written here commits
/// together with the status of the event, or not at all.
pub enum Tx<'a> {
    /// On SQLite.
    #[cfg(feature = "sqlite")]
    Sqlite(&'a mut AsyncSqliteConnection),
    /// On PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(&'a mut diesel_async::AsyncPgConnection),
    #[doc(hidden)]
    None(std::marker::PhantomData<&'a mut ()>, std::convert::Infallible),
}

/// A connection type that a handler may take by `&mut`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection that a transactional listener can take",
    label = "use `&mut Tx<'_>`, `&mut AsyncPgConnection` or `&mut AsyncSqliteConnection`",
    note = "a synchronous connection needs `blocking` on a function that is not `async`"
)]
pub trait FromTx<'c> {
    /// The only database whose transactions are of this type; `None` when every one is.
    const BACKEND: Option<Backend>;

    /// This connection, in the transaction `tx`.
    ///
    /// # Errors
    /// When the service runs on another database. Start-up refuses such a listener, so that this does not happen
    /// in a running service.
    fn from_tx<'a>(tx: &'a mut Tx<'c>) -> Result<&'a mut Self, HandlerError>;
}

impl<'c> FromTx<'c> for Tx<'c> {
    const BACKEND: Option<Backend> = None;

    fn from_tx<'a>(tx: &'a mut Tx<'c>) -> Result<&'a mut Self, HandlerError> {
        Ok(tx)
    }
}

#[cfg(feature = "sqlite")]
impl FromTx<'_> for AsyncSqliteConnection {
    const BACKEND: Option<Backend> = Some(Backend::Sqlite);

    fn from_tx<'a>(tx: &'a mut Tx<'_>) -> Result<&'a mut Self, HandlerError> {
        match tx {
            Tx::Sqlite(connection) => Ok(connection),
            #[allow(unreachable_patterns, reason = "the only pattern left when no other backend is compiled in")]
            _ => Err(HandlerError::reject(
                "the listener takes an SQLite connection, and the service runs on another database",
            )),
        }
    }
}

#[cfg(feature = "postgres")]
impl FromTx<'_> for diesel_async::AsyncPgConnection {
    const BACKEND: Option<Backend> = Some(Backend::Postgres);

    fn from_tx<'a>(tx: &'a mut Tx<'_>) -> Result<&'a mut Self, HandlerError> {
        match tx {
            Tx::Postgres(connection) => Ok(connection),
            #[allow(unreachable_patterns, reason = "the only pattern left when no other backend is compiled in")]
            _ => Err(HandlerError::reject(
                "the listener takes a PostgreSQL connection, and the service runs on another database",
            )),
        }
    }
}

/// An open transaction for a `blocking` handler: a synchronous Diesel connection.
#[non_exhaustive]
pub enum SyncTx<'a> {
    /// On SQLite.
    #[cfg(feature = "sqlite")]
    Sqlite(&'a mut diesel::sqlite::SqliteConnection),
    #[doc(hidden)]
    None(std::marker::PhantomData<&'a mut ()>, std::convert::Infallible),
}

/// A synchronous connection type that a `blocking` handler may take by `&mut`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection that a blocking listener can take",
    label = "use `&mut SqliteConnection`, or an `async` function with `&mut Tx<'_>`"
)]
pub trait FromSyncTx {
    /// The only database whose transactions are of this type.
    const BACKEND: Option<Backend>;

    /// This connection, in the transaction `tx`.
    ///
    /// # Errors
    /// When the service runs on another database; start-up refuses such a listener.
    fn from_tx<'a>(tx: &'a mut SyncTx<'_>) -> Result<&'a mut Self, HandlerError>;
}

#[cfg(feature = "sqlite")]
impl FromSyncTx for diesel::sqlite::SqliteConnection {
    const BACKEND: Option<Backend> = Some(Backend::Sqlite);

    fn from_tx<'a>(tx: &'a mut SyncTx<'_>) -> Result<&'a mut Self, HandlerError> {
        match tx {
            SyncTx::Sqlite(connection) => Ok(connection),
            SyncTx::None(_, never) => match *never {},
        }
    }
}

/// Runs one Diesel query on whichever database a [`Tx`](crate::Tx) is of.
///
/// The body is compiled once for each backend in the build, and must type-check on every one of them.
///
/// ```ignore
/// let rows = on!(tx, |c| diesel::update(seats).set(taken.eq(true)).execute(c).await)?;
/// ```
#[cfg(all(feature = "sqlite", feature = "postgres"))]
#[macro_export]
macro_rules! on {
    ($tx:expr, |$conn:ident| $body:expr) => {
        match &mut *$tx {
            $crate::Tx::Sqlite($conn) => $body,
            $crate::Tx::Postgres($conn) => $body,
            $crate::Tx::None(_, never) => match *never {},
        }
    };
}

/// Runs one Diesel query on whichever database a [`Tx`](crate::Tx) is of.
#[cfg(all(feature = "sqlite", not(feature = "postgres")))]
#[macro_export]
macro_rules! on {
    ($tx:expr, |$conn:ident| $body:expr) => {
        match &mut *$tx {
            $crate::Tx::Sqlite($conn) => $body,
            $crate::Tx::None(_, never) => match *never {},
        }
    };
}

/// Runs one Diesel query on whichever database a [`Tx`](crate::Tx) is of.
#[cfg(all(feature = "postgres", not(feature = "sqlite")))]
#[macro_export]
macro_rules! on {
    ($tx:expr, |$conn:ident| $body:expr) => {
        match &mut *$tx {
            $crate::Tx::Postgres($conn) => $body,
            $crate::Tx::None(_, never) => match *never {},
        }
    };
}

/// Runs one Diesel query on whichever database a [`Tx`](crate::Tx) is of: on none, in a build without a database.
#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
#[macro_export]
macro_rules! on {
    ($tx:expr, |$conn:ident| $body:expr) => {
        match &mut *$tx {
            $crate::Tx::None(_, never) => match *never {},
        }
    };
}
