//! PostgreSQL: a database of its own for each check, on the server that `TRACKED_TEST_POSTGRES_URL` names.
#![cfg(feature = "postgres")]

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use uuid::Uuid;

use crate::Fixture;

/// A fresh database; `None` without a server.
pub async fn fixture() -> Option<Fixture> {
    let database = Database::create().await?;
    tracked_events::stores::migrations::migrate(&database.url).await.unwrap();
    Some(Fixture::open(database.url.clone(), database).await)
}

/// A database that goes when the test is over.
pub struct Database {
    /// Its URL.
    pub url: String,
    server: String,
    name: String,
}

impl Database {
    /// An empty one; `None` without a server.
    pub async fn create() -> Option<Self> {
        let server = std::env::var("TRACKED_TEST_POSTGRES_URL").ok()?;
        let name = format!("tracked_test_{}", Uuid::new_v4().simple());
        execute(&server, &format!("CREATE DATABASE {name}")).await;
        Some(Self { url: in_place_of_the_path(&server, &name), server, name })
    }

    /// Runs SQL in it.
    pub async fn run(&self, sql: &str) {
        execute(&self.url, sql).await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(execute(&server, &format!("DROP DATABASE {name} WITH (FORCE)")));
        });
        if dropped.join().is_err() {
            eprintln!("the database `{}` could not be dropped", self.name);
        }
    }
}

async fn execute(url: &str, sql: &str) {
    AsyncPgConnection::establish(url).await.unwrap().batch_execute(sql).await.unwrap();
}

/// The URL of another database on the same server.
fn in_place_of_the_path(url: &str, database: &str) -> String {
    let (address, parameters) = url.split_once('?').map_or((url, ""), |(address, rest)| (address, rest));
    let host = address.find("://").map_or(0, |scheme| scheme + 3);
    let end = address[host..].find('/').map_or(address.len(), |slash| host + slash);
    let separator = if parameters.is_empty() { "" } else { "?" };
    format!("{}/{database}{separator}{parameters}", &address[..end])
}
