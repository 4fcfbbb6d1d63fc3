//! A database for one test.

use std::path::Path;

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use tempfile::TempDir;

/// Made anew, and gone with the test.
pub(crate) struct Database {
    directory: TempDir,
    url: String,
    on_server: Option<OnServer>,
}

struct OnServer {
    server: String,
    name: String,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let directory = TempDir::new().unwrap();
        let url = format!("sqlite:{}", directory.path().join("flights.db").display());
        Self { directory, url, on_server: None }
    }

    pub(crate) fn postgres() -> Self {
        let server = std::env::var("TRACKED_TEST_POSTGRES_URL").expect(
            "`TRACKED_TEST_POSTGRES_URL` names no server for this test; \
             run `tests/run`, or `tests/run --embedded` to leave it out",
        );
        let name = format!("flights_{}", uuid::Uuid::new_v4().simple());
        execute(&server, &format!("CREATE DATABASE {name}"));
        let (before, _) = server.rsplit_once('/').expect("a URL that ends in a database's name");
        let url = format!("{before}/{name}");
        Self { directory: TempDir::new().unwrap(), url, on_server: Some(OnServer { server, name }) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(OnServer { server, name }) = &self.on_server {
            execute(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}

fn execute(server: &str, statement: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = AsyncPgConnection::establish(server).await.expect("the server accepts connections");
        connection.batch_execute(statement).await.unwrap();
    });
}
