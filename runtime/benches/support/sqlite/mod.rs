//! SQLite, through rusqlite.

mod consume;
mod fill;
mod publish;
mod transactional;

use std::{
    path::PathBuf,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tracked_events::Timestamp;

use super::{
    args::Mode,
    backlog::Backlog,
    rig::{Progress, Result, Rig, Tally},
};

/// Durable at every commit, as the library's connections are.
const SETTINGS: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
     PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 4000";

/// Databases in files under `target/`, so that they are on a disk and not in memory.
#[derive(Default)]
pub(super) struct SqliteRig {
    /// The filled database, copied for every round.
    template: Option<Scratch>,
    round: Option<Scratch>,
    /// Asks for progress without opening a connection each time.
    watcher: Mutex<Option<(String, Connection)>>,
}

struct Scratch {
    folder: TempDir,
}

impl Scratch {
    fn new() -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))? })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("bench.db")
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.file().display())
    }
}

#[async_trait]
impl Rig for SqliteRig {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    async fn fill(&mut self, backlog: &Backlog) -> Result<()> {
        let template = Scratch::new()?;
        tracked_events::stores::migrations::migrate(&template.url()).await?;
        fill::fill(&open(&template.url())?, backlog)?;
        self.template = Some(template);
        Ok(())
    }

    async fn fresh(&mut self) -> Result<String> {
        *self.watcher.lock().unwrap() = None;
        let template = self.template.as_ref().ok_or("the database was not filled")?;
        let round = Scratch::new()?;
        std::fs::copy(template.file(), round.file())?;
        std::fs::File::open(round.file())?.sync_all()?;
        let url = round.url();
        self.round = Some(round);
        Ok(url)
    }

    async fn consume(&self, url: &str, mode: Mode, events: usize) -> Result<Duration> {
        match mode {
            // Handling one event after the other keeps any order.
            Mode::Batched | Mode::Ordered => consume::consume(url, events, mode.name()),
            Mode::Transactional => transactional::consume(url, events),
        }
    }

    async fn publish(&self, url: &str, events: usize) -> Result<Duration> {
        publish::publish(&open(url)?, events)
    }

    async fn progress(&self, url: &str) -> Result<Progress> {
        let mut watcher = self.watcher.lock().unwrap();
        let (_, connection) = match watcher.take_if(|(watched, _)| watched == url) {
            Some(known) => watcher.insert(known),
            None => watcher.insert((url.to_owned(), open_to_read(url)?)),
        };
        Ok(Progress {
            open_claims: connection.query_row("SELECT count(*) FROM claim", (), |row| row.get(0))?,
            published: connection.query_row(
                "SELECT coalesce(sum(next_offset), 0) FROM embedded_partition",
                (),
                |row| row.get(0),
            )?,
        })
    }

    async fn tally(&self, url: &str) -> Result<Tally> {
        let connection = open_to_read(url)?;
        let count = |from: &str| -> Result<usize> {
            let sql = format!("SELECT count(*) FROM {from}");
            Ok(usize::try_from(connection.query_row(&sql, (), |row| row.get::<_, i64>(0))?)?)
        };
        Ok(Tally {
            processed: count("event_consumption_log WHERE status = 'PROCESSED' AND processed_at IS NOT NULL")?,
            succeeded_attempts: count("event_attempt WHERE status = 'SUCCESS'")?,
            keys: count("idempotency_key")?,
            published: count("event_production_log WHERE status = 'PUBLISHED' AND offset IS NOT NULL")?,
            left_in_outbox: count("outbox_queue")?,
        })
    }
}

fn path(url: &str) -> &str {
    url.trim_start_matches("sqlite:")
}

fn open(url: &str) -> Result<Connection> {
    let connection = Connection::open(path(url))?;
    connection.execute_batch(SETTINGS)?;
    Ok(connection)
}

fn open_to_read(url: &str) -> Result<Connection> {
    let connection = Connection::open_with_flags(path(url), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute_batch("PRAGMA busy_timeout = 10000")?;
    Ok(connection)
}

/// The time as the record keeps it.
fn now() -> Result<String> {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Timestamp::from_micros(i64::try_from(since_epoch.as_micros())?).to_string())
}
