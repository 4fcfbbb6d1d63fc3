//! A transactional handler's writes, the events that it publishes and PROCESSED commit together or not at all.

use std::{collections::BTreeSet, time::Duration};

use diesel_async::RunQueryDsl as _;
use support::{Database, Engine, on_every_database};
use tracked_events::{PublishOptions, prelude::*};

use crate::note::{Note, attempts_at, record_of};

on_every_database![
    effects_events_and_status_commit_together_however_an_attempt_fails,
    a_commit_that_fails_is_a_failed_attempt_and_leaves_nothing,
    what_a_publisher_writes_and_publishes_is_rolled_back_together,
    a_handler_that_waits_for_its_transaction_loses_no_time_and_no_attempt,
    a_handler_that_would_wait_for_itself_is_told_what_to_do,
];

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "NOTE_FILED", topic = "filed")]
struct NoteFiled {
    note: String,
}

#[tracked_publish]
async fn file(tx: &mut Tx<'_>, note: &str) -> Result<NoteFiled, diesel::result::Error> {
    on!(tx, |c| diesel::sql_query("INSERT INTO effect (event_id) VALUES ($1)")
        .bind::<diesel::sql_types::Text, _>(note)
        .execute(c)
        .await)?;
    Ok(NoteFiled { note: note.to_owned() })
}

/// Writes, publishes, and then fails in the way that the note says, once.
#[tracked_listener(timeout = "2s", backoff = none)]
async fn file_note(note: Note, ctx: &EventContext, tx: &mut Tx<'_>) -> Result<(), BoxError> {
    file(tx, &note.id).await?;
    match note.text.as_str() {
        "reject" => Err(HandlerError::reject("wrong cabinet").into()),
        _ if ctx.attempt() > 1 => Ok(()),
        "error" => Err("the drawer is stuck".into()),
        "panic" => panic!("the drawer fell out"),
        "hang" => std::future::pending().await,
        "broken commit" => {
            on!(tx, |c| diesel::sql_query("INSERT INTO child (parent) VALUES ('nobody')").execute(c).await)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

const TABLES: &str = "CREATE TABLE effect (event_id TEXT NOT NULL);
    CREATE TABLE parent (name TEXT PRIMARY KEY);
    CREATE TABLE child (parent TEXT REFERENCES parent (name) DEFERRABLE INITIALLY DEFERRED);";

async fn effects_events_and_status_commit_together_however_an_attempt_fails(db: Database) {
    db.script(TABLES).await;
    let service = db.service(listeners![file_note]).start().await;
    let ways = ["ok", "error", "panic", "ok", "reject"];
    let mut notes: Vec<_> =
        (0..20).map(|number| Note::new(format!("{}-{number}", ways[number % 5])).saying(ways[number % 5])).collect();
    notes.push(Note::new("hang").saying("hang"));
    service.publisher().publish_with(&notes, &PublishOptions::DEFAULT).await.unwrap();
    service.idle().await.unwrap();

    let expected: BTreeSet<_> = notes.iter().filter(|note| note.text != "reject").map(|note| note.id.clone()).collect();
    assert_eq!(expected.len(), 17);
    let column = async |column: &str, rest: &str| -> Vec<String> {
        db.rows::<(String,)>(column, rest).await.into_iter().map(|(value,)| value).collect()
    };
    let effects = column("event_id", "FROM effect").await;
    assert_eq!((effects.len(), effects.into_iter().collect()), (17, expected.clone()));
    let causes = column("causation_id", "FROM event_production_log WHERE topic = 'filed'").await;
    assert_eq!((causes.len(), causes.into_iter().collect()), (17, expected.clone()));
    let done = column("event_id", "FROM event_consumption_log WHERE status = 'PROCESSED'").await;
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), expected);
    for (way, attempts) in [
        ("ok-0", &["SUCCESS"][..]),
        ("error-1", &["FAILED", "SUCCESS"]),
        ("panic-2", &["PANIC", "SUCCESS"]),
        ("hang", &["TIMEOUT", "SUCCESS"]),
        ("reject-4", &["REJECTED"]),
    ] {
        assert_eq!(attempts_at(&db, way).await, attempts, "{way}");
    }
}

async fn a_commit_that_fails_is_a_failed_attempt_and_leaves_nothing(db: Database) {
    db.script(TABLES).await;
    let service = db.service(listeners![file_note]).start().await;
    service.publisher().publish(&Note::new("torn").saying("broken commit")).await.unwrap();
    service.publisher().publish(&Note::new("whole")).await.unwrap();
    service.idle().await.unwrap();

    assert_eq!(attempts_at(&db, "torn").await, ["FAILED", "SUCCESS"]);
    assert_eq!(db.count("child").await, 0);
    assert_eq!(db.count("effect WHERE event_id = 'torn'").await, 1);
    assert_eq!(db.count("event_production_log WHERE topic = 'filed' AND causation_id = 'torn'").await, 1);
    let (error,): (String,) = db.row("error_message", "FROM event_attempt WHERE status = 'FAILED'").await;
    assert!(error.to_lowercase().contains("foreign key"), "{error}");
}

async fn what_a_publisher_writes_and_publishes_is_rolled_back_together(db: Database) {
    db.script(TABLES).await;
    let service = db.service(listeners![file_note]).start().await;
    for keep in [true, false] {
        let mut transaction = service.publisher().begin().await.unwrap();
        file(&mut transaction.tx(), if keep { "kept" } else { "dropped" }).await.unwrap();
        transaction.publish(&Note::new(if keep { "kept" } else { "dropped" })).await.unwrap();
        if keep { transaction.commit().await.unwrap() } else { transaction.rollback().await.unwrap() }
    }
    service.idle().await.unwrap();
    assert_eq!(db.count("effect WHERE event_id = 'dropped'").await, 0);
    assert_eq!(db.count("event_production_log WHERE event_id = 'dropped'").await, 0);
    assert_eq!(attempts_at(&db, "kept").await, ["SUCCESS"]);
    let filed: Vec<(String,)> =
        db.rows(&db.text("payload"), "FROM event_production_log WHERE topic = 'filed' ORDER BY id").await;
    assert_eq!(filed, [(r#"{"note":"kept"}"#.to_owned(),), (r#"{"note":"kept"}"#.to_owned(),)]);
}

/// Slow, where only one transaction can be open.
#[tracked_listener(timeout = "1s", processing_timeout = "2s", retries = 0)]
async fn file_slowly(note: Note, tx: &mut Tx<'_>) -> Result<(), BoxError> {
    file(tx, &note.id).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(())
}

async fn a_handler_that_waits_for_its_transaction_loses_no_time_and_no_attempt(db: Database) {
    db.script(TABLES).await;
    let service = db.service(listeners![file_slowly]).configure(|config| config.max_connections = 1).start().await;
    let notes: Vec<_> = (0..10).map(|number| Note::new(number.to_string())).collect();
    service.publisher().publish_with(&notes, &PublishOptions::DEFAULT).await.unwrap();
    service.idle().await.unwrap();
    assert_eq!(db.count("effect").await, 10);
    assert_eq!(db.count("event_attempt WHERE status = 'SUCCESS'").await, 10);
    assert_eq!(db.count("event_attempt").await, 10);
    service.drain().await.unwrap();
}

/// Publishes beside its transaction instead of in it.
#[tracked_listener(retries = 0)]
async fn file_aside(note: Note, ctx: &EventContext, _tx: &mut Tx<'_>) -> Result<(), BoxError> {
    ctx.publisher().publish(&NoteFiled { note: note.id }).await?;
    Ok(())
}

async fn a_handler_that_would_wait_for_itself_is_told_what_to_do(db: Database) {
    let service = db.service(listeners![file_aside]).start().await;
    service.publisher().publish(&Note::new("aside")).await.unwrap();
    service.idle().await.unwrap();
    let (status, _, error) = record_of(&db, "aside").await;
    match db.engine() {
        Engine::Sqlite => {
            assert_eq!(status, "FAILED_MAX_RETRY");
            assert!(error.unwrap().contains("publish on the handler's own connection"));
        }
        Engine::Postgres => assert_eq!(status, "PROCESSED"),
    }
    service.drain().await.unwrap();
}
