//! A database of its own for each test, and plain SQL on it.

use std::time::Duration;

use diesel::{
    Connection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_types, sqlite::SqliteConnection,
};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};
use uuid::Uuid;

use crate::eventually;

/// Names a server on which databases may be created.
const SERVER: &str = "TRACKED_TEST_POSTGRES_URL";

/// Which database a scenario runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// An empty database that goes with the test.
pub struct Database {
    url: String,
    id: String,
    keep: Keep,
}

enum Keep {
    Folder { _until_dropped: TempDir },
    Server { url: String, name: String },
}

/// Holds the lock of an SQLite database.
pub struct Locked(#[expect(dead_code, reason = "it is held, not used")] SqliteConnection);

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = sql_types::Text)]
    line: String,
}

impl Database {
    /// Makes one.
    pub async fn create(engine: Engine) -> Self {
        let id = Uuid::new_v4().simple().to_string()[..12].to_owned();
        match engine {
            Engine::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let url = format!("sqlite:{}", folder.path().join("service.db").display());
                Self { url, id, keep: Keep::Folder { _until_dropped: folder } }
            }
            Engine::Postgres => Self::on_server(id).await,
        }
    }

    async fn on_server(id: String) -> Self {
        let server = std::env::var(SERVER).ok().filter(|url| !url.is_empty()).unwrap_or_else(|| {
            panic!("`{SERVER}` names no server for this test; use `tests/run`, or `tests/run --embedded` without one")
        });
        let name = format!("scenario_{id}");
        let (base, _) = server.rsplit_once('/').expect("a URL that ends in a database's name");
        postgres(&server, &format!("CREATE DATABASE {name}")).await.expect("a new database");
        Self { url: format!("{base}/{name}"), id, keep: Keep::Server { url: server, name } }
    }

    pub fn engine(&self) -> Engine {
        match self.keep {
            Keep::Folder { .. } => Engine::Sqlite,
            Keep::Server { .. } => Engine::Postgres,
        }
    }

    /// As services are configured with it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What tells this database's services and events from those of the tests beside it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Runs statements, whole or not at all.
    pub async fn script(&self, sql: &str) {
        match &self.keep {
            Keep::Folder { .. } => {
                self.sqlite().immediate_transaction(|connection| connection.batch_execute(sql)).expect(sql)
            }
            Keep::Server { .. } => {
                postgres(&self.url, sql).await.expect(sql);
            }
        }
    }

    /// `SELECT {columns} {rest}`, each row read into a tuple.
    pub async fn rows<T: DeserializeOwned>(&self, columns: &str, rest: &str) -> Vec<T> {
        let lines = match &self.keep {
            Keep::Folder { .. } => {
                let sql = format!("SELECT json_array({columns}) AS line {rest}");
                let lines: Vec<Line> = diesel::sql_query(&sql).load(&mut self.sqlite()).expect(&sql);
                lines.into_iter().map(|line| line.line).collect()
            }
            Keep::Server { .. } => {
                let sql = format!("SELECT json_build_array({columns})::text AS line {rest}");
                postgres(&self.url, &sql).await.expect(&sql)
            }
        };
        lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// The one row of a query.
    pub async fn row<T: DeserializeOwned>(&self, columns: &str, rest: &str) -> T {
        let mut rows = self.rows(columns, rest).await;
        assert_eq!(rows.len(), 1, "rows of `SELECT {columns} {rest}`");
        rows.remove(0)
    }

    /// How many rows of `rest`, which begins with the table's name.
    pub async fn count(&self, rest: &str) -> i64 {
        let (count,) = self.row::<(i64,)>("count(*)", &format!("FROM {rest}")).await;
        count
    }

    /// Waits until a query has this many rows.
    pub async fn until_count(&self, rest: &str, count: i64) {
        eventually(&format!("{count} rows of {rest}"), async || self.count(rest).await == count).await;
    }

    /// Takes SQLite's lock, which nobody else gets until the answer is dropped.
    pub async fn lock(&self) -> Locked {
        let mut connection = self.sqlite();
        connection.batch_execute("BEGIN IMMEDIATE").expect("the lock");
        Locked(connection)
    }

    /// A column of bytes in lower-case hexadecimal.
    pub fn hex(&self, column: &str) -> String {
        match self.keep {
            Keep::Folder { .. } => format!("lower(hex({column}))"),
            Keep::Server { .. } => format!("encode({column}, 'hex')"),
        }
    }

    /// A column of bytes that are text.
    pub fn text(&self, column: &str) -> String {
        match self.keep {
            Keep::Folder { .. } => format!("CAST({column} AS TEXT)"),
            Keep::Server { .. } => format!("convert_from({column}, 'UTF8')"),
        }
    }

    fn sqlite(&self) -> SqliteConnection {
        let path = self.url.trim_start_matches("sqlite:");
        let mut connection = SqliteConnection::establish(path).expect(path);
        connection.batch_execute("PRAGMA busy_timeout = 20000; PRAGMA journal_mode = WAL;").expect("settings");
        connection
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Keep::Server { url, name } = &self.keep else { return };
        let (url, drop) = (url.clone(), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(postgres(&url, &drop)).map(|_| ()))
        });
        // A database that stays behind goes with the server.
        let _ = dropping.join();
    }
}

/// Runs SQL on a connection of its own; the first column of every row.
async fn postgres(url: &str, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let (client, connection) = connect(url).await?;
    let driving = tokio::spawn(connection);
    let messages = client.simple_query(sql).await?;
    drop(client);
    // It ends with its client.
    let _ = driving.await;
    let first = |message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(first).collect())
}

type Driver = tokio_postgres::Connection<tokio_postgres::Socket, tokio_postgres::tls::NoTlsStream>;

/// Connects, and waits while the server has no connection left: tests run beside each other.
async fn connect(url: &str) -> Result<(tokio_postgres::Client, Driver), tokio_postgres::Error> {
    loop {
        match tokio_postgres::connect(url, NoTls).await {
            Err(error) if error.code().is_some_and(|code| code.code().starts_with("53")) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            result => return result,
        }
    }
}
