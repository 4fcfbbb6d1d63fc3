//! A run of the service in which its processes die, and what it has to leave behind.

use std::path::PathBuf;

use support::{DEADLINE, Database, Engine, Transitions, within};
use tempfile::TempDir;
use tracked_events::stores::migrations;

use crate::{
    checker::{self, Record},
    process::{Ended, Start, Worker},
};

/// How many notes a run publishes.
pub(crate) const NOTES: u32 = 40;

/// A point of the program, and which passage of it is the last.
pub(crate) type Death = (&'static str, u32);

/// A database with the service's own tables, and a place for the ledger.
pub(crate) struct Campaign<'a> {
    db: &'a Database,
    transitions: Transitions<'a>,
    folder: TempDir,
    guard_off: Option<&'a str>,
}

impl<'a> Campaign<'a> {
    pub(crate) async fn prepare(db: &'a Database) -> Self {
        migrations::migrate(db.url()).await.unwrap();
        let id = match db.engine() {
            Engine::Sqlite => "INTEGER PRIMARY KEY",
            Engine::Postgres => "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        };
        let tables = "CREATE TABLE business (event_id TEXT PRIMARY KEY)";
        db.script(&format!("{tables}; CREATE TABLE effect (id {id}, event_id TEXT NOT NULL)")).await;
        let transitions = Transitions::watch(db).await;
        Self { db, transitions, folder: tempfile::tempdir().unwrap(), guard_off: None }
    }

    /// All its processes do without a guard.
    pub(crate) fn without(self, guard: &'a str) -> Self {
        Self { guard_off: Some(guard), ..self }
    }

    /// Starts a process, which dies at the point if one is named.
    pub(crate) fn start(&self, death: Option<(&str, u32)>) -> Worker {
        Worker::start(&Start { db: self.db, ledger: &self.ledger(), notes: NOTES, death, guard_off: self.guard_off })
    }

    /// Lets a process that nobody kills finish the work, and checks what all of them left behind.
    pub(crate) async fn finish(&self, story: &str) {
        let problems = self.problems(story).await;
        assert!(problems.is_empty(), "after {story}:\n  {}", problems.join("\n  "));
    }

    /// The same, and tells what the checker found.
    pub(crate) async fn problems(&self, story: &str) -> Vec<String> {
        assert_eq!(self.start(None).end().await, Ended::Drained, "{story}: the last process was killed");
        let record = Record::read(self.db, &self.transitions, &self.ledger()).await;
        assert_eq!(record.business.len(), usize::try_from(NOTES).unwrap(), "{story}: not everything was committed");
        checker::problems(&record)
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }
}

/// How often each story is told, with other passages each time.
pub(crate) fn rounds() -> u32 {
    number("TRACKED_CRASH_ROUNDS").and_then(|rounds| rounds.try_into().ok()).unwrap_or(1)
}

/// A number from the environment.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("`{variable}` is `{value}`; give a whole number")))
}

/// A process dies at each of the points in turn, the next one takes over, and nothing is lost.
pub(crate) async fn survives(engine: Engine, deaths: &[Death]) {
    for round in 0..rounds() {
        within(DEADLINE, survives_once(engine, deaths, round)).await;
    }
}

async fn survives_once(engine: Engine, deaths: &[Death], round: u32) {
    let db = Database::create(engine).await;
    let campaign = Campaign::prepare(&db).await;
    for &(point, passage) in deaths {
        // What comes once in a life comes once in every round; the rest comes later from round to round.
        let passage = if passage < 4 { passage } else { passage + round % 5 };
        let ended = campaign.start(Some((point, passage))).end().await;
        assert_eq!(ended, Ended::Killed, "no process came by `{point}` {passage} times");
    }
    campaign.finish(&format!("deaths at {deaths:?}, round {round}")).await;
}

/// Makes a test on each database of each scenario `async fn name(engine: Engine)`, whose rounds have a deadline each.
macro_rules! on_every_engine {
    ($($scenario:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $scenario() {
                    super::$scenario(support::Engine::Sqlite).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $scenario() {
                    super::$scenario(support::Engine::Postgres).await;
                }
            )+
        }
    };
}

pub(crate) use on_every_engine;
