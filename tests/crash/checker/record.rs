//! What is left of a run: the tables as plain SQL shows them, and the handlers' ledger.

use std::path::Path;

use support::{Database, Transition, Transitions};

/// Everything that a run leaves behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// The events that the business committed to publish.
    pub(crate) business: Vec<String>,
    /// In the order of their ids.
    pub(crate) published: Vec<Published>,
    /// In the order of their ids.
    pub(crate) consumed: Vec<Consumed>,
    /// In the order of record and number.
    pub(crate) attempts: Vec<Attempt>,
    /// The events that had their effect in a handler's transaction, in order.
    pub(crate) effects: Vec<String>,
    /// The runs of handlers that began, in order.
    pub(crate) runs: Vec<Run>,
    /// What the tables of open work still hold.
    pub(crate) open: Vec<Open>,
    pub(crate) consumed_transitions: Vec<Transition>,
    pub(crate) published_transitions: Vec<Transition>,
    /// The records that an operator sent again.
    pub(crate) sent_again: Vec<i64>,
}

/// A row of the production log.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) id: i64,
    pub(crate) event_id: String,
    pub(crate) topic: String,
    pub(crate) event_type: String,
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) place: Option<(i32, i64)>,
    pub(crate) cause: Option<String>,
    pub(crate) key: Option<String>,
}

/// A row of the consumption log.
#[derive(Clone, Debug)]
pub(crate) struct Consumed {
    pub(crate) id: i64,
    pub(crate) event_id: String,
    pub(crate) topic: String,
    pub(crate) place: Option<(i32, i64)>,
    pub(crate) listener: String,
    pub(crate) status: String,
}

/// A row of `event_attempt`.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) record: i64,
    pub(crate) number: i32,
    pub(crate) status: String,
}

/// A handler that began.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) listener: String,
    pub(crate) event_id: String,
}

/// A row that says that something is not finished.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) table: &'static str,
    pub(crate) what: String,
}

/// The tables that are empty when all is done, but for what an operator has to review, and what names a row.
const OPEN: &[(&str, &str, &str)] = &[
    ("outbox_queue", "production_id", ""),
    ("inbox_queue", "consumption_id", "WHERE state <> 'review'"),
    ("claim", "token", ""),
    ("instance", "id", ""),
    ("lease", "resource", "WHERE instance_id IS NOT NULL"),
    ("member", "instance_id", ""),
];

impl Record {
    pub(crate) async fn read(db: &Database, transitions: &Transitions<'_>, ledger: &Path) -> Self {
        Self {
            business: one_column(db, "event_id", "FROM business ORDER BY event_id").await,
            published: published(db).await,
            consumed: consumed(db).await,
            attempts: attempts(db).await,
            effects: one_column(db, "event_id", "FROM effect ORDER BY id").await,
            runs: runs(ledger),
            open: open(db).await,
            consumed_transitions: transitions.consumed().await,
            published_transitions: transitions.produced().await,
            sent_again: sent_again(db).await,
        }
    }
}

async fn one_column(db: &Database, column: &str, rest: &str) -> Vec<String> {
    let rows: Vec<(String,)> = db.rows(column, rest).await;
    rows.into_iter().map(|(value,)| value).collect()
}

async fn published(db: &Database) -> Vec<Published> {
    type Row = (i64, String, String, String, String, String, Option<i32>, Option<i64>, Option<String>, Option<String>);
    let columns = format!(
        "id, event_id, topic, event_type, kind, status, partition_number, \"offset\", causation_id, {}",
        db.text("event_key")
    );
    let rows: Vec<Row> = db.rows(&columns, "FROM event_production_log ORDER BY id").await;
    let read = |(id, event_id, topic, event_type, kind, status, partition, offset, cause, key): Row| {
        let place = partition.zip(offset);
        Published { id, event_id, topic, event_type, kind, status, place, cause, key }
    };
    rows.into_iter().map(read).collect()
}

async fn consumed(db: &Database) -> Vec<Consumed> {
    type Row = (i64, String, String, Option<i32>, Option<i64>, String, String);
    let columns = "id, event_id, topic, partition_number, \"offset\", handler_name, status";
    let rows: Vec<Row> = db.rows(columns, "FROM event_consumption_log ORDER BY id").await;
    let read = |(id, event_id, topic, partition, offset, listener, status): Row| {
        let place = partition.zip(offset);
        Consumed { id, event_id, topic, place, listener, status }
    };
    rows.into_iter().map(read).collect()
}

async fn attempts(db: &Database) -> Vec<Attempt> {
    let columns = "consumption_id, attempt_number, status";
    let rows: Vec<(i64, i32, String)> =
        db.rows(columns, "FROM event_attempt ORDER BY consumption_id, attempt_number, id").await;
    rows.into_iter().map(|(record, number, status)| Attempt { record, number, status }).collect()
}

async fn open(db: &Database) -> Vec<Open> {
    let mut open = Vec::new();
    for &(table, column, rest) in OPEN {
        let column = format!("CAST({column} AS TEXT)");
        let rows = one_column(db, &column, &format!("FROM {table} {rest}")).await;
        open.extend(rows.into_iter().map(|what| Open { table, what }));
    }
    open
}

async fn sent_again(db: &Database) -> Vec<i64> {
    let rows: Vec<(i64,)> = db.rows("target_id", "FROM operator_action WHERE action = 'retry'").await;
    rows.into_iter().map(|(id,)| id).collect()
}

fn runs(ledger: &Path) -> Vec<Run> {
    let text = std::fs::read_to_string(ledger).unwrap();
    let run = |line: &str| {
        let (listener, event_id) = line.split_once(' ').expect(line);
        Run { listener: listener.to_owned(), event_id: event_id.to_owned() }
    };
    text.lines().map(run).collect()
}
