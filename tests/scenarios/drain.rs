//! An instance leaves, is replaced, or is not quick enough.

use std::sync::Arc;

use support::{Database, counted, eventually, on_every_database};
use tokio::sync::Semaphore;
use tracked_events::{Handle, PublishOptions, prelude::*, telemetry::metric};

use crate::note::{Diary, Note, attempts_at};

on_every_database![
    a_drain_finishes_what_runs_and_hands_back_the_rest_without_costing_an_attempt,
    an_instance_that_starts_under_the_same_name_resumes_at_once_and_its_predecessor_can_change_nothing,
    events_published_while_nobody_runs_are_handled_by_the_next_start,
];

#[derive(Clone)]
struct Gate(Arc<Semaphore>);

#[tracked_listener(concurrency = 2, queue = 1000)]
async fn carry(note: Note, gate: State<Gate>, diary: State<Diary>) -> Result<(), BoxError> {
    diary.write(&note.id);
    gate.0.0.acquire().await?.forget();
    Ok(())
}

async fn start(db: &Database, name: &str, gate: &Gate, diary: &Diary) -> Handle {
    db.service(listeners![carry]).instance(name).state(gate.clone()).state(diary.clone()).start().await
}

fn notes(count: usize) -> Vec<Note> {
    (0..count).map(|number| Note::new(number.to_string())).collect()
}

async fn a_drain_finishes_what_runs_and_hands_back_the_rest_without_costing_an_attempt(db: Database) {
    let (gate, diary) = (Gate(Arc::new(Semaphore::new(0))), Diary::default());
    let first = start(&db, "one", &gate, &diary).await;
    first.publisher().publish_with(&notes(20), &PublishOptions::DEFAULT).await.unwrap();
    db.until_count("event_consumption_log WHERE status = 'PROCESSING'", 20).await;
    eventually("two are under way", async || diary.len() == 2).await;
    let draining = tokio::spawn({
        let first = first.clone();
        async move { first.drain().await }
    });
    first.shutdown_requested().await;
    db.until_count("event_consumption_log WHERE status = 'RECEIVED'", 18).await;
    gate.0.add_permits(2);
    draining.await.unwrap().unwrap();

    assert_eq!(diary.len(), 2, "nothing new was begun");
    assert_eq!(db.count("event_consumption_log WHERE status = 'PROCESSED'").await, 2);
    assert_eq!((db.count("event_attempt").await, db.count("claim").await, db.count("instance").await), (2, 0, 0));
    assert_eq!(db.count("lease WHERE instance_id IS NOT NULL").await, 0);

    gate.0.add_permits(100);
    let second = start(&db, "two", &gate, &diary).await;
    second.idle().await.unwrap();
    assert_eq!(db.count("event_consumption_log WHERE status = 'PROCESSED' AND retry_count = 0").await, 20);
    assert_eq!(db.count("event_attempt WHERE attempt_number = 1 AND status = 'SUCCESS'").await, 20);
    assert_eq!((diary.len(), db.count("event_attempt").await), (20, 20));
}

async fn an_instance_that_starts_under_the_same_name_resumes_at_once_and_its_predecessor_can_change_nothing(
    db: Database,
) {
    let (stuck, diary) = (Gate(Arc::new(Semaphore::new(0))), Diary::default());
    let first = start(&db, "one", &stuck, &diary).await;
    first.publisher().publish_with(&notes(2), &PublishOptions::DEFAULT).await.unwrap();
    eventually("both are under way", async || diary.len() == 2).await;

    let (free, later) = (Gate(Arc::new(Semaphore::new(100))), Diary::default());
    let second = start(&db, "one", &free, &later).await;
    second.idle().await.unwrap();
    assert_eq!(later.len(), 2, "handled again long before the lease of 10 s was over");
    assert_eq!(attempts_at(&db, "0").await, ["ABANDONED", "SUCCESS"]);
    first.shutdown_requested().await;

    let record = "FROM event_consumption_log ORDER BY id";
    let before: Vec<(String, String)> = db.rows("status, updated_at", record).await;
    stuck.0.add_permits(2);
    eventually("the first instance's results are discarded", async || counted(&db, metric::STALE_SETTLEMENTS) == 2.0)
        .await;
    assert_eq!(db.rows::<(String, String)>("status, updated_at", record).await, before);
    assert_eq!(db.count("event_attempt").await, 4);
    // Nor does it take anything in any more.
    second.publisher().publish_with(&notes(12)[2..].to_vec(), &PublishOptions::DEFAULT).await.unwrap();
    second.idle().await.unwrap();
    assert_eq!((diary.len(), later.len()), (2, 12));
}

async fn events_published_while_nobody_runs_are_handled_by_the_next_start(db: Database) {
    let (gate, diary) = (Gate(Arc::new(Semaphore::new(100))), Diary::default());
    let first = start(&db, "one", &gate, &diary).await;
    first.drain().await.unwrap();
    first.publisher().publish_with(&notes(50), &PublishOptions::DEFAULT).await.unwrap();
    let second = start(&db, "two", &gate, &diary).await;
    second.idle().await.unwrap();
    assert_eq!(db.count("event_consumption_log WHERE status = 'PROCESSED'").await, 50);
}
