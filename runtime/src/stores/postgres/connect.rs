//! Connections, set up the same way wherever they come from.

use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio_postgres::{Config, NoTls, config::SslMode};

use crate::error::{Error, ErrorKind, Result};

/// The time to reach a server that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
/// When the URL is not understood, asks for TLS, or the server cannot be reached or refuses.
pub(crate) async fn connect(url: &str, purpose: Use) -> Result<AsyncPgConnection> {
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        Error::new(ErrorKind::Config, "the database's URL is not understood; use `postgres://user@host/database`")
            .caused_by(error)
    })?;
    if config.get_ssl_mode() == SslMode::Require {
        let problem = "`sslmode=require` is not supported yet; use `sslmode=prefer` or a local proxy that adds TLS";
        return Err(Error::new(ErrorKind::Config, problem));
    }
    if config.get_application_name().is_none() {
        config.application_name("tracked-events");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    let (client, connection) = config.connect(NoTls).await.map_err(refused)?;
    let mut connection =
        AsyncPgConnection::try_from_client_and_connection(client, connection).await.map_err(|error| {
            Error::new(ErrorKind::StoreUnavailable, "the connection to PostgreSQL was lost while it was set up")
                .caused_by(error)
        })?;
    connection.batch_execute(purpose.set_up()).await?;
    Ok(connection)
}

/// A server that cannot be reached, or is full, may be there later; one that refuses the user or the database will not.
fn refused(error: tokio_postgres::Error) -> Error {
    let (kind, message) = match error.code().map(|code| code.code()) {
        Some("28000" | "28P01") => (ErrorKind::Config, "PostgreSQL refused the user; check user and password"),
        Some("3D000") => (ErrorKind::Config, "PostgreSQL has no such database; create it, or check the URL"),
        Some("53300") => (ErrorKind::StoreUnavailable, "PostgreSQL has no connection left; raise `max_connections`"),
        _ => (ErrorKind::StoreUnavailable, "PostgreSQL cannot be reached; check the URL and that the server runs"),
    };
    Error::new(kind, message).caused_by(error)
}
