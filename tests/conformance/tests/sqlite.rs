//! What holds on SQLite beside what every store must do.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::time::Duration;

use tracked_events::store::SharedStore;
use tracked_events_conformance::{
    given::{ME, after, register},
    sqlite::fixture,
};

async fn is_gone(store: &SharedStore, id: &str) -> bool {
    store.instances().await.unwrap().iter().find(|instance| instance.id == id).unwrap().is_gone
}

#[tokio::test]
async fn an_instance_is_gone_when_its_process_ends() {
    let ours = fixture().await.unwrap();
    let theirs = ours.another_process().await;
    register(&theirs, "two").await;
    assert!(!is_gone(&ours, "two").await);
    drop(theirs);
    assert!(is_gone(&ours, "two").await);
    assert!(!is_gone(&ours, ME).await);
}

/// Else whoever waits behind a slow handler would be taken to be dead.
#[tokio::test]
async fn a_beat_does_not_wait_for_a_handlers_transaction() {
    let store = fixture().await.unwrap();
    let handler = store.begin().await.unwrap();
    let beat = tokio::time::timeout(Duration::from_secs(10), store.beat(ME, after(1)));
    assert!(beat.await.unwrap().unwrap());
    handler.rollback().await.unwrap();
}
