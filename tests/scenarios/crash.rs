//! Processes die, and what they had in hand is not lost.

use std::time::Duration;

use support::{Database, eventually, on_every_database, on_postgres};
use tracked_events::{Handle, PublishOptions, prelude::*};

use crate::{
    note::{Diary, Note, attempts_at, record_of},
    process::Worker,
};

on_every_database![
    the_work_of_a_killed_process_is_resumed_by_another_after_its_lease,
    an_event_that_kills_its_process_is_given_up_and_its_neighbours_are_not,
    ten_thousand_waiting_retries_hold_no_worker_and_hardly_any_memory,
];
// A process that stands still with SQLite's lock in its hands stops everybody until it goes on.
on_postgres![a_process_that_stood_still_beyond_its_lease_changes_nothing];

#[tracked_listener]
async fn ponder(note: Note, diary: State<Diary>) -> Result<(), HandlerError> {
    diary.write(note.id);
    Ok(())
}

/// Publishes and does nothing else. All instances agree on what a lease is.
async fn publisher(db: &Database) -> Handle {
    let service = db.service(listeners![]).instance("publisher");
    service.configure(|config| config.lease = Duration::from_secs(1)).start().await
}

fn notes(count: usize) -> Vec<Note> {
    (0..count).map(|number| Note::new(number.to_string())).collect()
}

async fn the_work_of_a_killed_process_is_resumed_by_another_after_its_lease(db: Database) {
    let publisher = publisher(&db).await;
    let mut worker = Worker::start(&db, "ponder", "one").await;
    publisher.publisher().publish_with(&notes(30), &PublishOptions::DEFAULT).await.unwrap();
    for _ in 0..10 {
        worker.until("begun").await;
    }
    publisher.drain().await.unwrap();
    db.until_count("event_consumption_log WHERE status = 'PROCESSING'", 30).await;
    worker.kill().await;

    let diary = Diary::default();
    let service = db.service(listeners![ponder]).instance("two").state(diary.clone());
    let service = service.configure(|config| config.lease = Duration::from_secs(1)).start().await;
    service.idle().await.unwrap();
    assert_eq!(db.count("event_consumption_log WHERE status = 'PROCESSED'").await, 30);
    assert_eq!(diary.len(), 30);
    assert!(db.count("event_attempt WHERE status = 'ABANDONED'").await >= 10);
    assert_eq!(db.count("event_attempt WHERE status = 'SUCCESS'").await, 30);
    assert_eq!(db.count("claim").await, 0);
}

async fn an_event_that_kills_its_process_is_given_up_and_its_neighbours_are_not(db: Database) {
    let publisher = publisher(&db).await;
    let mut all = notes(20);
    all.insert(10, Note::new("killer").saying("poison"));
    publisher.publisher().publish_with(&all, &PublishOptions::DEFAULT).await.unwrap();
    publisher.idle().await.unwrap();
    publisher.drain().await.unwrap();
    for _ in 0..3 {
        // A restart under the same name resumes at once.
        Worker::begin(&db, "swallow", "one").death().await;
    }
    let survivor = Worker::start(&db, "swallow", "one").await;
    db.until_count("event_consumption_log WHERE status = 'PROCESSED'", 20).await;
    survivor.drain().await;

    assert_eq!(attempts_at(&db, "killer").await, ["ABANDONED"; 3]);
    let (_, _, error) = record_of(&db, "killer").await;
    let expected = "the process died 3 times while handling it; fix the handler, then retry it from review";
    assert_eq!(error.as_deref(), Some(expected));
    assert_eq!(db.count("event_production_log WHERE event_id = 'dl:ponder:killer:0'").await, 1);

    let innocent = "event_consumption_log WHERE event_id <> 'killer' AND (status <> 'PROCESSED' OR retry_count > 0)";
    assert_eq!(db.count(innocent).await, 0);
}

async fn ten_thousand_waiting_retries_hold_no_worker_and_hardly_any_memory(db: Database) {
    let mut worker = Worker::start(&db, "remember", "one").await;
    let running = worker.until("running").await;
    let grown: usize = worker.until("grown").await.parse().unwrap();
    assert_eq!(running, "0");
    assert!(grown < 8 << 20, "ten thousand waiting retries hold {grown} bytes");
    assert_eq!(db.count("event_consumption_log WHERE status = 'FAILED'").await, 10_000);
    db.until_count("event_consumption_log WHERE status = 'PROCESSED'", 5_001).await;
}

async fn a_process_that_stood_still_beyond_its_lease_changes_nothing(db: Database) {
    db.script("CREATE TABLE effect (event_id TEXT NOT NULL)").await;
    let publisher = publisher(&db).await;
    let stopped = Worker::start(&db, "book_on_a_short_lease", "one").await;
    for part in 0..10 {
        let part: Vec<_> = (0..100).map(|number| Note::new(format!("{part}-{number}"))).collect();
        publisher.publisher().publish_with(&part, &PublishOptions::DEFAULT).await.unwrap();
    }
    eventually("the load is on", async || db.count("effect").await > 50).await;
    stopped.stop().await;
    let before = db.count("effect").await;
    assert!(before < 1_000, "it was stopped while it worked");

    let other = Worker::start(&db, "book_on_a_short_lease", "two").await;
    db.until_count("event_consumption_log WHERE status = 'PROCESSED'", 1_000).await;
    stopped.go_on().await;
    stopped.drain().await;
    other.drain().await;
    publisher.drain().await.unwrap();

    assert_eq!(db.count("effect").await, 1_000);
    assert_eq!(db.count("(SELECT DISTINCT event_id FROM effect) effects").await, 1_000);
    assert_eq!(db.count("event_attempt WHERE status = 'SUCCESS'").await, 1_000);
    assert_eq!(db.count("event_consumption_log").await, 1_000);
    assert_eq!((db.count("claim").await, db.count("inbox_queue").await), (0, 0));
}
