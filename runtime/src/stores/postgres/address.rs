//! Where a database is, and whether the way to it is encrypted.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use tokio::time::timeout;
use tokio_postgres::{
    CancelToken, Config, NoTls, Socket,
    config::SslMode,
    tls::{MakeTlsConnect, TlsConnect, TlsStream},
};

use super::connect::refused;
use crate::error::{Error, ErrorKind, Result};

#[cfg(feature = "postgres-tls")]
mod certificates;

/// The time to reach a server that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a URL says.
#[derive(Clone)]
pub(crate) struct Address {
    config: Config,
    encryption: Encryption,
}

/// How bytes travel.
#[derive(Clone)]
enum Encryption {
    /// As they are: `sslmode` is `disable` or `prefer`, or not given.
    Off,
    /// Encrypted, to a server whose certificate is checked.
    #[cfg(feature = "postgres-tls")]
    On(tokio_postgres_rustls::MakeRustlsConnect),
}

impl Address {
    /// # Errors
    /// When the URL is not understood, or asks for what this build or the certificates cannot give.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let (url, authorities) = split_off_authorities(url);
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            Error::new(ErrorKind::Config, "the database's URL is not understood; use `postgres://user@host/database`")
                .caused_by(error)
        })?;
        if config.get_application_name().is_none() {
            config.application_name("tracked-events");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        let encryption = match (config.get_ssl_mode(), authorities) {
            (SslMode::Require, authorities) => required(authorities.as_deref())?,
            (_, Some(_)) => {
                let problem = "`sslrootcert` is of use with `sslmode=require` only; add it, or leave both out";
                return Err(Error::new(ErrorKind::Config, problem));
            }
            (_, None) => Encryption::Off,
        };
        Ok(Self { config, encryption })
    }

    pub(super) async fn connect(&self) -> Result<AsyncPgConnection> {
        // Boxed: a handshake is large, and would make everything large that may have to connect.
        let opening = async {
            match &self.encryption {
                Encryption::Off => Box::pin(open(&self.config, NoTls)).await,
                #[cfg(feature = "postgres-tls")]
                Encryption::On(tls) => Box::pin(open(&self.config, tls.clone())).await,
            }
        };
        timeout(self.limit(), opening).await.unwrap_or_else(|_| {
            let problem = "PostgreSQL was reached and does not answer; check what is between it and this host";
            Err(Error::new(ErrorKind::StoreUnavailable, problem))
        })
    }

    /// Asks the server to stop what a connection runs. Closing the connection stops what is not stopped so.
    pub(super) async fn cancel(&self, running: &CancelToken) {
        let asking = async {
            match &self.encryption {
                Encryption::Off => running.cancel_query(NoTls).await,
                #[cfg(feature = "postgres-tls")]
                Encryption::On(tls) => running.cancel_query(tls.clone()).await,
            }
        };
        let _ = timeout(self.limit(), asking).await;
    }

    /// The time to be connected in. The driver's own limit is for each host, and ends where it is reached.
    fn limit(&self) -> Duration {
        let hosts = u32::try_from(self.config.get_hosts().len()).unwrap_or(u32::MAX).max(1);
        let each = self.config.get_connect_timeout().map_or(CONNECT_TIMEOUT, |reached| *reached + CONNECT_TIMEOUT);
        each.saturating_mul(hosts)
    }
}

async fn open<T>(config: &Config, tls: T) -> Result<AsyncPgConnection>
where
    T: MakeTlsConnect<Socket, TlsConnect: Send, Stream: TlsStream + Unpin + Send + 'static>,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = config.connect(tls).await.map_err(refused)?;
    AsyncPgConnection::try_from_client_and_connection(client, connection).await.map_err(|error| {
        Error::new(ErrorKind::StoreUnavailable, "the connection to PostgreSQL was lost while it was set up")
            .caused_by(error)
    })
}

#[cfg(feature = "postgres-tls")]
fn required(authorities: Option<&str>) -> Result<Encryption> {
    Ok(Encryption::On(tokio_postgres_rustls::MakeRustlsConnect::new(certificates::checked(authorities)?)))
}

#[cfg(not(feature = "postgres-tls"))]
fn required(_: Option<&str>) -> Result<Encryption> {
    let problem = "this build cannot encrypt its connections to PostgreSQL; build it with the feature `postgres-tls`, \
                   or use `sslmode=prefer`";
    Err(Error::new(ErrorKind::Config, problem))
}

/// The URL as the driver understands it, and the file that `sslrootcert` names. Certificates are always checked in full,
/// so that `verify-full` is another name of `require`.
fn split_off_authorities(url: &str) -> (String, Option<String>) {
    // A password may hold a question mark: the driver takes it as it is.
    let host = url.find('@').map_or(0, |at| at + 1);
    let Some(question) = url[host..].find('?') else { return (url.to_owned(), None) };
    let (address, parameters) = (&url[..host + question], &url[host + question + 1..]);
    let mut authorities = None;
    let mut kept = Vec::new();
    for parameter in parameters.split('&') {
        match parameter.split_once('=') {
            // Libpq's name for what is done anyway.
            Some(("sslrootcert", "system")) => {}
            Some(("sslrootcert", file)) => authorities = Some(decoded(file)),
            Some(("sslmode", "verify-full" | "verify-ca")) => kept.push("sslmode=require"),
            _ => kept.push(parameter),
        }
    }
    let separator = if kept.is_empty() { "" } else { "?" };
    (format!("{address}{separator}{}", kept.join("&")), authorities)
}

fn decoded(value: &str) -> String {
    percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_not_the_drivers_business() {
        let split = |url| split_off_authorities(url);
        let url = "postgres://app@db/events?sslmode=verify-full&sslrootcert=%2Fetc%2Fdb%20ca.pem&connect_timeout=3";
        let expected = "postgres://app@db/events?sslmode=require&connect_timeout=3".to_owned();
        assert_eq!(split(url), (expected, Some("/etc/db ca.pem".to_owned())));
        let url = "postgres://u:p?x@db/e?sslrootcert=system&sslmode=require";
        assert_eq!(split(url), ("postgres://u:p?x@db/e?sslmode=require".to_owned(), None));
        assert_eq!(split("postgres://db/x"), ("postgres://db/x".to_owned(), None));
        assert_eq!(split("postgres://db/x?sslrootcert=a"), ("postgres://db/x".to_owned(), Some("a".to_owned())));
    }

    #[test]
    fn authorities_without_encryption_are_refused() {
        let error = Address::parse("postgres://db/x?sslrootcert=ca.pem").err().unwrap();
        assert!(error.to_string().contains("add it"), "{error}");
    }
}
