//! A listener is paused and resumed while it runs.

use std::sync::Arc;

use support::{Database, eventually, on_every_database};
use tokio::sync::Semaphore;
use tracked_events::{Handle, PublishOptions, prelude::*, store::ListenerPause};

use crate::note::{Diary, Note};

on_every_database![
    a_paused_listener_gives_back_what_waits_and_goes_on_when_resumed,
    a_pause_holds_up_no_other_listener,
];

#[derive(Clone)]
struct Gate(Arc<Semaphore>);

#[tracked_listener(concurrency = 1, queue = 1000)]
async fn walk(note: Note, gate: State<Gate>, diary: State<Diary>) -> Result<(), BoxError> {
    diary.write(format!("walk {}", note.id));
    gate.0.0.acquire().await?.forget();
    Ok(())
}

#[tracked_listener]
async fn run(note: Note, diary: State<Diary>) -> Result<(), HandlerError> {
    diary.write(format!("run {}", note.id));
    Ok(())
}

async fn pause(service: &Handle, db: &Database) {
    let pause = ListenerPause {
        group: db.service_name(),
        listener: "walk".to_owned(),
        operator: "ann".to_owned(),
        reason: Some("the path is icy".to_owned()),
        now: service.clock().now(),
    };
    service.store().pause_listener(pause).await.unwrap();
    eventually("the listener is paused", async || {
        service.status().listeners.iter().any(|listener| listener.name == "walk" && listener.paused)
    })
    .await;
}

async fn resume(service: &Handle, db: &Database) {
    assert!(service.store().resume_listener(&db.service_name(), "walk").await.unwrap());
}

fn notes(count: usize) -> Vec<Note> {
    (0..count).map(|number| Note::new(number.to_string())).collect()
}

async fn a_paused_listener_gives_back_what_waits_and_goes_on_when_resumed(db: Database) {
    let (gate, diary) = (Gate(Arc::new(Semaphore::new(0))), Diary::default());
    let service = db.service(listeners![walk]).state(gate.clone()).state(diary.clone()).start().await;
    service.publisher().publish_with(&notes(10), &PublishOptions::DEFAULT).await.unwrap();
    db.until_count("event_consumption_log WHERE status = 'PROCESSING'", 10).await;
    eventually("one is under way", async || diary.len() == 1).await;
    pause(&service, &db).await;
    db.until_count("event_consumption_log WHERE status = 'RECEIVED'", 9).await;
    // The one that runs comes to its end; no other begins.
    gate.0.add_permits(10);
    db.until_count("event_consumption_log WHERE status = 'PROCESSED'", 1).await;
    service.publisher().publish(&Note::new("late")).await.unwrap();
    db.until_count("event_production_log WHERE status = 'PUBLISHED'", 11).await;
    assert_eq!(diary.len(), 1);
    assert_eq!(db.count("event_attempt").await, 1);

    resume(&service, &db).await;
    gate.0.add_permits(10);
    db.until_count("event_consumption_log WHERE status = 'PROCESSED' AND retry_count = 0", 11).await;
    assert_eq!((diary.len(), db.count("event_attempt").await), (11, 11));
}

async fn a_pause_holds_up_no_other_listener(db: Database) {
    let (gate, diary) = (Gate(Arc::new(Semaphore::new(1000))), Diary::default());
    let service = db.service(listeners![walk, run]).state(gate).state(diary.clone()).start().await;
    pause(&service, &db).await;
    service.publisher().publish_with(&notes(300), &PublishOptions::DEFAULT).await.unwrap();
    db.until_count("event_consumption_log WHERE handler_name = 'run' AND status = 'PROCESSED'", 300).await;
    assert!(diary.entries().iter().all(|entry| entry.starts_with("run")));
    resume(&service, &db).await;
    db.until_count("event_consumption_log WHERE status = 'PROCESSED'", 600).await;
}
