//! Encrypted connections, through a door of TLS before the real server.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use super::*;

#[tokio::test]
async fn everything_goes_through_an_encrypted_connection() {
    let Some(door) = Door::open("127.0.0.1").await else { return };
    let url = door.url(&format!("sslmode=verify-full&sslrootcert={}", door.authority.display()));
    migrate(&url).await.unwrap();
    let store = open(&StoreOptions { url, max_connections: 1, clock: Clock::system() }).await.unwrap();
    register(&store, "one").await;
    // What is dropped is stopped over the same way.
    let mut transaction = store.begin().await.unwrap();
    let slow = tokio::spawn(async move {
        if let Tx::Postgres(connection) = transaction.tx() {
            diesel::sql_query("SELECT pg_sleep(3600) /* slow */").execute(connection).await.unwrap();
        }
    });
    let mut observer = AsyncPgConnection::establish(&door.database.url).await.unwrap();
    until_slow(&mut observer, 1).await;
    slow.abort();
    until_slow(&mut observer, 0).await;
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_refused() {
    let Some(door) = Door::open("127.0.0.1").await else { return };
    refused(&door.url("sslmode=require")).await;
}

#[tokio::test]
async fn the_certificate_of_another_host_is_refused() {
    let Some(door) = Door::open("elsewhere.example").await else { return };
    refused(&door.url(&format!("sslmode=require&sslrootcert={}", door.authority.display()))).await;
}

#[tokio::test]
async fn a_server_without_encryption_is_refused() {
    let Some(database) = database().await else { return };
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut client, _) = server.accept().await.unwrap();
        client.read_exact(&mut [0; 8]).await.unwrap();
        client.write_all(b"N").await.unwrap();
    });
    refused(&at(&database.url, address, "sslmode=require")).await;
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_named() {
    let error = check("postgres://nobody@127.0.0.1:1/none?sslmode=require&sslrootcert=nowhere.pem").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("`sslrootcert=nowhere.pem`"), "{error}");
}

async fn refused(url: &str) {
    let error = check(url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("no encrypted connection"), "{error}");
}

/// Takes TLS off what goes to the server of a database.
struct Door {
    database: Database,
    address: SocketAddr,
    authority: PathBuf,
    _folder: TempDir,
}

impl Door {
    /// Opens one whose certificate is for `host`; `None` without a server.
    async fn open(host: &str) -> Option<Self> {
        let database = database().await?;
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("authority.pem");
        let acceptor = acceptor(host, &authority);
        let inside = server_of(&database.url);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(acceptor.clone(), client, inside.clone()));
            }
        });
        Some(Self { database, address, authority, _folder: folder })
    }

    fn url(&self, parameters: &str) -> String {
        at(&self.database.url, self.address, parameters)
    }
}

/// One connection, from the question whether it may be encrypted to its end.
async fn pass(acceptor: TlsAcceptor, mut client: TcpStream, inside: String) -> std::io::Result<()> {
    let mut question = [0; 8];
    client.read_exact(&mut question).await?;
    assert_eq!(question, [0, 0, 0, 8, 4, 210, 22, 47], "it begins without TLS");
    client.write_all(b"S").await?;
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(inside).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// An authority of its own, written to `file`, has signed the certificate.
fn acceptor(host: &str, file: &std::path::Path) -> TlsAcceptor {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(file, authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// The host and port of a URL.
fn server_of(url: &str) -> String {
    let authority = url.split_once("://").unwrap().1.split('/').next().unwrap();
    authority.rsplit('@').next().unwrap().to_owned()
}

/// The URL, leading to another address.
fn at(url: &str, address: SocketAddr, parameters: &str) -> String {
    let moved = url.replacen(&server_of(url), &address.to_string(), 1);
    let separator = if moved.contains('?') { '&' } else { '?' };
    format!("{moved}{separator}{parameters}")
}
