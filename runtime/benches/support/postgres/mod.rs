//! PostgreSQL, through tokio-postgres.

mod consume;
mod fill;
mod publish;
mod transactional;

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use tokio_postgres::{Client, NoTls};

use super::{
    args::Mode,
    backlog::{Backlog, PARTITIONS},
    rig::{Progress, Result, Rig, Tally},
};

/// How many connections serve the loops best, on two cores.
const CONNECTIONS: usize = 2;

/// Databases of their own on the server that a URL names.
pub(super) struct PostgresRig {
    url: String,
    /// Asks for progress without connecting each time.
    watcher: Mutex<Option<std::sync::Arc<Client>>>,
    rounds: usize,
}

impl PostgresRig {
    pub(super) fn new(url: String) -> Self {
        Self { url, watcher: Mutex::default(), rounds: 0 }
    }

    /// The same server, another database.
    fn url_of(&self, database: &str) -> String {
        let authority = self.url.find("://").map_or(0, |at| at + 3);
        let path = self.url[authority..].find('/').map_or(self.url.len(), |at| authority + at);
        let query = self.url[path..].find('?').map_or("", |at| &self.url[path + at..]);
        format!("{}/{database}{query}", &self.url[..path])
    }

    fn template() -> String {
        format!("tracked_bench_{}", std::process::id())
    }

    fn round(&self) -> String {
        format!("{}_{}", Self::template(), self.rounds)
    }

    async fn drop(&self, database: &str) -> Result<()> {
        let drop = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
        Ok(connect(&self.url).await?.batch_execute(&drop).await?)
    }

    async fn watcher(&self, url: &str) -> Result<std::sync::Arc<Client>> {
        if let Some(known) = &*self.watcher.lock().unwrap() {
            return Ok(known.clone());
        }
        let client = std::sync::Arc::new(connect(url).await?);
        *self.watcher.lock().unwrap() = Some(client.clone());
        Ok(client)
    }
}

#[async_trait]
impl Rig for PostgresRig {
    fn name(&self) -> &'static str {
        "postgres"
    }

    async fn fill(&mut self, backlog: &Backlog) -> Result<()> {
        let template = Self::template();
        self.drop(&template).await?;
        connect(&self.url).await?.batch_execute(&format!("CREATE DATABASE {template}")).await?;
        let url = self.url_of(&template);
        tracked_events::stores::migrations::migrate(&url).await?;
        fill::fill(&connect(&url).await?, backlog).await
    }

    async fn fresh(&mut self) -> Result<String> {
        *self.watcher.lock().unwrap() = None;
        self.drop(&self.round()).await?;
        self.rounds += 1;
        let copy = format!("CREATE DATABASE {} TEMPLATE {}", self.round(), Self::template());
        let server = connect(&self.url).await?;
        server.batch_execute(&copy).await?;
        // So that no round pays for what was written before it.
        server.batch_execute("CHECKPOINT").await?;
        Ok(self.url_of(&self.round()))
    }

    async fn consume(&self, url: &str, mode: Mode, events: usize) -> Result<Duration> {
        match mode {
            // A key is in one partition, and a partition is one loop's.
            Mode::Batched | Mode::Ordered => consume::consume(url, events, mode.name()).await,
            Mode::Transactional => transactional::consume(url, events).await,
        }
    }

    async fn publish(&self, url: &str, events: usize) -> Result<Duration> {
        publish::publish(url, events).await
    }

    async fn progress(&self, url: &str) -> Result<Progress> {
        let watcher = self.watcher(url).await?;
        let asked = "SELECT (SELECT count(*) FROM claim),
             (SELECT coalesce(sum(next_offset), 0)::bigint FROM embedded_partition)";
        let row = watcher.query_one(asked, &[]).await?;
        Ok(Progress { open_claims: row.get(0), published: row.get(1) })
    }

    async fn tally(&self, url: &str) -> Result<Tally> {
        let client = connect(url).await?;
        let asked = "SELECT
             (SELECT count(*) FROM event_consumption_log WHERE status = 'PROCESSED' AND processed_at IS NOT NULL),
             (SELECT count(*) FROM event_attempt WHERE status = 'SUCCESS'),
             (SELECT count(*) FROM idempotency_key),
             (SELECT count(*) FROM event_production_log WHERE status = 'PUBLISHED' AND \"offset\" IS NOT NULL),
             (SELECT count(*) FROM outbox_queue)";
        let row = client.query_one(asked, &[]).await?;
        let count = |at: usize| usize::try_from(row.get::<_, i64>(at));
        Ok(Tally {
            processed: count(0)?,
            succeeded_attempts: count(1)?,
            keys: count(2)?,
            published: count(3)?,
            left_in_outbox: count(4)?,
        })
    }

    async fn finish(&mut self) -> Result<()> {
        *self.watcher.lock().unwrap() = None;
        self.drop(&self.round()).await?;
        self.drop(&Self::template()).await
    }
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends with the client.
    tokio::spawn(connection);
    Ok(client)
}

/// The partitions of one of several loops.
fn partitions_of(part: usize, parts: usize) -> Vec<i32> {
    (0..PARTITIONS).filter(|partition| partition % parts == part).filter_map(|own| i32::try_from(own).ok()).collect()
}
