//! Every change of a status, written down by the database itself.

use std::collections::HashMap;

use crate::{Database, Engine};

/// The changes of status in both logs since [`Transitions::watch`].
#[derive(Clone, Copy)]
pub struct Transitions<'a>(&'a Database);

/// A change of a consumed event's status; the first has no `from`.
pub type Transition = (i64, Option<String>, String);

impl<'a> Transitions<'a> {
    /// Begins to write down, in a database that has its tables.
    pub async fn watch(db: &'a Database) -> Self {
        match db.engine() {
            Engine::Sqlite => db.script(SQLITE).await,
            Engine::Postgres => db.script(POSTGRES).await,
        }
        Self(db)
    }

    /// The changes in the consumption log, in their order.
    pub async fn consumed(&self) -> Vec<Transition> {
        self.of("consumption").await
    }

    /// The changes in the production log, in their order.
    pub async fn produced(&self) -> Vec<Transition> {
        self.of("production").await
    }

    /// A new record that was corrected before anybody could see it began as what it was corrected to.
    async fn of(&self, log: &str) -> Vec<Transition> {
        let rest = format!("FROM transition WHERE log = '{log}' ORDER BY id");
        let rows: Vec<(i64, Option<String>, String, Option<String>)> =
            self.0.rows("record, status_from, status_to, commit_id", &rest).await;
        let mut began: HashMap<i64, (String, usize)> = HashMap::new();
        let mut transitions: Vec<Transition> = Vec::with_capacity(rows.len());
        for (record, from, to, commit) in rows {
            match (&from, commit) {
                (None, Some(commit)) => drop(began.insert(record, (commit, transitions.len()))),
                (Some(_), Some(commit)) => {
                    if let Some((_, first)) = began.get(&record).filter(|(begin, _)| *begin == commit) {
                        transitions[*first].2 = to;
                        continue;
                    }
                }
                (_, None) => {}
            }
            transitions.push((record, from, to));
        }
        transitions
    }
}

const SQLITE: &str = "
CREATE TABLE transition (id INTEGER PRIMARY KEY, log TEXT, record INTEGER, status_from TEXT, status_to TEXT,
    commit_id TEXT);
CREATE TRIGGER consumption_begins AFTER INSERT ON event_consumption_log BEGIN
    INSERT INTO transition (log, record, status_to) VALUES ('consumption', NEW.id, NEW.status);
END;
CREATE TRIGGER consumption_moves AFTER UPDATE OF status ON event_consumption_log BEGIN
    INSERT INTO transition (log, record, status_from, status_to) VALUES ('consumption', NEW.id, OLD.status, NEW.status);
END;
CREATE TRIGGER production_begins AFTER INSERT ON event_production_log BEGIN
    INSERT INTO transition (log, record, status_to) VALUES ('production', NEW.id, NEW.status);
END;
CREATE TRIGGER production_moves AFTER UPDATE OF status ON event_production_log BEGIN
    INSERT INTO transition (log, record, status_from, status_to) VALUES ('production', NEW.id, OLD.status, NEW.status);
END;";

const POSTGRES: &str = "
CREATE TABLE transition (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, log TEXT, record BIGINT, status_from TEXT, status_to TEXT,
    commit_id TEXT DEFAULT pg_current_xact_id()::text);
CREATE FUNCTION write_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO transition (log, record, status_from, status_to)
    VALUES (TG_ARGV[0], NEW.id, CASE TG_OP WHEN 'UPDATE' THEN OLD.status END, NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER consumption_moves AFTER INSERT OR UPDATE OF status ON event_consumption_log
    FOR EACH ROW EXECUTE FUNCTION write_transition('consumption');
CREATE TRIGGER production_moves AFTER INSERT OR UPDATE OF status ON event_production_log
    FOR EACH ROW EXECUTE FUNCTION write_transition('production');";
