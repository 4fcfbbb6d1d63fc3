//! Connections, set up the same way wherever they come from.

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};

use super::address::Address;
use crate::error::{Error, ErrorKind, Result};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The store's own statements.
    Store,
    /// A handler's or publisher's transaction.
    Handler,
    /// Changing the schema.
    Migration,
}

impl Use {
    /// Statements that set the connection up.
    fn set_up(self) -> &'static str {
        match self {
            // A statement that takes this long has lost its server or its lock; and one whose process stands still
            // between two statements must not hold up who takes over.
            Self::Store => {
                "SET statement_timeout = '60s'; SET jit = off; SET idle_in_transaction_session_timeout = '5s'"
            }
            // A handler's own timeout bounds its statements.
            Self::Handler => "",
            Self::Migration => "SET statement_timeout = 0",
        }
    }
}

/// Opens a connection.
///
/// # Errors
/// When the URL is not understood, no encrypted connection can be had where one is asked for, or the server cannot be
/// reached or refuses.
pub(crate) async fn connect(url: &str, purpose: Use) -> Result<AsyncPgConnection> {
    connect_to(&Address::parse(url)?, purpose).await
}

/// Opens a connection to a known address.
pub(super) async fn connect_to(address: &Address, purpose: Use) -> Result<AsyncPgConnection> {
    let mut connection = address.connect().await?;
    if !purpose.set_up().is_empty() {
        connection.batch_execute(purpose.set_up()).await?;
    }
    Ok(connection)
}

/// A server that cannot be reached, or is full, may be there later; one that refuses the user or the database will not.
pub(super) fn refused(error: tokio_postgres::Error) -> Error {
    let (kind, message) = match error.code().map(|code| code.code()) {
        None if is_about_encryption(&error) => (
            ErrorKind::Config,
            "no encrypted connection to PostgreSQL; check that the server has `ssl = on`, and that its certificate is \
             for the host of the URL and signed by an authority of the system or of `sslrootcert=FILE`",
        ),
        Some("28000" | "28P01") => (
            ErrorKind::Config,
            "PostgreSQL refused the user; check user and password, and whether it wants `sslmode=require`",
        ),
        Some("3D000") => (ErrorKind::Config, "PostgreSQL has no such database; create it, or check the URL"),
        Some("53300") => (ErrorKind::StoreUnavailable, "PostgreSQL has no connection left; raise `max_connections`"),
        _ => (ErrorKind::StoreUnavailable, "PostgreSQL cannot be reached; check the URL and that the server runs"),
    };
    Error::new(kind, message).caused_by(error)
}

/// Whether encryption is what failed. A server that went away meanwhile is another matter.
fn is_about_encryption(error: &tokio_postgres::Error) -> bool {
    use std::{error::Error, io};
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let says_why = [io::ErrorKind::InvalidData, io::ErrorKind::InvalidInput];
    let gone = source.is_some_and(|source| !says_why.contains(&source.kind()));
    error.to_string().starts_with("error performing TLS handshake") && !gone
}
