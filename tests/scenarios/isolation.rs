//! One event's trouble is nobody else's.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use support::{Database, eventually, on_every_database};
use tokio::sync::Semaphore;
use tracked_events::{BackoffKind, BackoffOverride, PublishOptions, prelude::*};

use crate::note::{Note, record_of};

on_every_database![
    a_slow_key_delays_no_other_of_a_thousand,
    an_always_failing_key_delays_no_other_of_a_thousand,
    a_listener_that_is_stuck_delays_no_other_listener,
];

/// A way that is blocked for one key.
#[derive(Clone)]
struct Road {
    opened: Arc<Semaphore>,
    passed: Arc<Mutex<HashSet<String>>>,
}

impl Road {
    fn blocked() -> Self {
        Self { opened: Arc::new(Semaphore::new(0)), passed: Arc::default() }
    }

    fn passed(&self) -> usize {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[tracked_listener(order = "key", queue = 20)]
async fn drive(note: Note, road: State<Road>) -> Result<(), BoxError> {
    match note.text.as_str() {
        "slow" => road.opened.acquire().await?.forget(),
        "broken down" => return Err("out of fuel".into()),
        _ => {}
    }
    road.passed.lock().unwrap_or_else(PoisonError::into_inner).insert(note.id);
    Ok(())
}

/// Two events of each of a thousand keys; those of key 7 are `troubled`.
fn traffic(troubled: &str) -> Vec<Note> {
    let note = |number: usize| {
        let note = Note::of(&format!("key-{}", number % 1000), number.to_string());
        if number % 1000 == 7 { note.saying(troubled) } else { note }
    };
    (0..2000).map(note).collect()
}

async fn a_slow_key_delays_no_other_of_a_thousand(db: Database) {
    let road = Road::blocked();
    let service = db.service(listeners![drive]).state(road.clone()).start().await;
    service.publisher().publish_with(&traffic("slow"), &PublishOptions::DEFAULT).await.unwrap();
    eventually("all but those of the slow key are through", async || road.passed() == 1998).await;
    assert!(!road.passed.lock().unwrap().contains("7") && !road.passed.lock().unwrap().contains("1007"));
    assert_eq!(record_of(&db, "7").await.0, "PROCESSING");
    road.opened.add_permits(2);
    service.idle().await.unwrap();
    assert_eq!(road.passed(), 2000);
}

async fn an_always_failing_key_delays_no_other_of_a_thousand(db: Database) {
    let road = Road::blocked();
    // Its retries wait for a minute: nobody else does.
    let service = db.service(listeners![drive]).listener("drive", |listener| {
        let fixed = BackoffOverride { kind: Some(BackoffKind::Fixed), ..BackoffOverride::default() };
        listener.backoff = Some(BackoffOverride { delay: Some(Duration::from_secs(60)), ..fixed });
    });
    let service = service.state(road.clone()).start().await;
    service.publisher().publish_with(&traffic("broken down"), &PublishOptions::DEFAULT).await.unwrap();
    eventually("all but those of the failing key are through", async || road.passed() == 1998).await;
    db.until_count("event_consumption_log WHERE status = 'PROCESSED'", 1998).await;
    assert_eq!(record_of(&db, "7").await, ("FAILED".to_owned(), 1, Some("out of fuel".to_owned())));
    assert_eq!(record_of(&db, "1007").await.0, "RECEIVED", "its follower waits behind it");
}

#[tracked_listener(concurrency = 2, queue = 10)]
async fn stand(_note: Note, road: State<Road>) -> Result<(), BoxError> {
    road.opened.acquire().await?.forget();
    Ok(())
}

async fn a_listener_that_is_stuck_delays_no_other_listener(db: Database) {
    let road = Road::blocked();
    let service = db.service(listeners![drive, stand]).state(road.clone()).start().await;
    service.publisher().publish_with(&traffic("")[..300].to_vec(), &PublishOptions::DEFAULT).await.unwrap();
    eventually("the other listener is through", async || road.passed() == 300).await;
    road.opened.add_permits(300);
    service.idle().await.unwrap();
    assert_eq!(db.count("event_consumption_log WHERE status = 'PROCESSED'").await, 600);
}
