//! Transactions in which handlers and publishers write.

use std::{sync::Arc, time::Duration};

use diesel::result::Error as DieselError;
use diesel_async::AsyncConnection;
use tracked_events::{
    __private::{AsyncStage, Ending, StageScope, SyncStage},
    Backend, ErrorKind, SyncTx, on,
    store::{ConsumptionStatus as Status, Disposition, OpenTransaction, Settlement},
};

use crate::{Fixture, given::*};

/// Transactions on SQLite take turns, so one that never came would look like a deadlock.
async fn begin(store: &Fixture) -> Box<dyn OpenTransaction> {
    tokio::time::timeout(Duration::from_secs(30), store.begin()).await.expect("no transaction could be had").unwrap()
}

async fn stage(store: &Fixture, transaction: &mut dyn OpenTransaction, id: &str) {
    store.stage(&mut transaction.tx(), &[staged(id)]).await.unwrap();
}

async fn event_ids(store: &Fixture) -> Vec<String> {
    produced(store).await.into_iter().map(|row| row.event_id).collect()
}

pub async fn a_commit_keeps_everything(store: &Fixture) {
    let mut transaction = begin(store).await;
    stage(store, &mut *transaction, "e1").await;
    store.stage(&mut transaction.tx(), &[staged("e2"), staged("e3")]).await.unwrap();
    assert!(event_ids(store).await.is_empty());
    transaction.commit().await.unwrap();
    assert_eq!(event_ids(store).await, ["e1", "e2", "e3"]);
    assert_eq!(store.backlog().await.unwrap().outbox_pending, 3);
}

pub async fn a_rollback_keeps_nothing(store: &Fixture) {
    let mut transaction = begin(store).await;
    stage(store, &mut *transaction, "e1").await;
    transaction.rollback().await.unwrap();
    assert!(event_ids(store).await.is_empty());
    begin(store).await.commit().await.unwrap();
}

pub async fn a_dropped_transaction_keeps_nothing(store: &Fixture) {
    for _ in 0..3 {
        let mut transaction = begin(store).await;
        stage(store, &mut *transaction, "e1").await;
        drop(transaction);
    }
    let mut transaction = begin(store).await;
    stage(store, &mut *transaction, "e2").await;
    transaction.commit().await.unwrap();
    assert_eq!(event_ids(store).await, ["e2"]);
}

pub async fn a_settlement_commits_with_the_effects(store: &Fixture) {
    let done = running(store, "e1").await;
    let mut transaction = begin(store).await;
    stage(store, &mut *transaction, "e2").await;
    assert!(transaction.settle(&done, ME).await.unwrap());
    transaction.rollback().await.unwrap();
    assert_eq!(status(store, done.id).await, Status::Processing);
    let mut transaction = begin(store).await;
    stage(store, &mut *transaction, "e3").await;
    assert!(transaction.settle(&done, ME).await.unwrap());
    transaction.commit().await.unwrap();
    assert_eq!(status(store, done.id).await, Status::Processed);
    assert_eq!(event_ids(store).await, ["e3"]);
    assert_eq!(store.attempts(&[done.id]).await.unwrap().len(), 1);
}

pub async fn a_settlement_without_its_claim_says_so(store: &Fixture) {
    let done = running(store, "e1").await;
    let mut transaction = begin(store).await;
    assert!(!transaction.settle(&done, "instance-2").await.unwrap());
    let crossed = Settlement { id: done.id + 1, disposition: Disposition::Processed, ..done.clone() };
    assert!(!transaction.settle(&crossed, ME).await.unwrap());
    transaction.rollback().await.unwrap();
    assert_eq!(status(store, done.id).await, Status::Processing);
}

pub async fn writes_go_on_after_a_transaction(store: &Fixture) {
    let mut transaction = begin(store).await;
    stage(store, &mut *transaction, "e1").await;
    let waiting: Vec<_> = (0..10)
        .map(|n| {
            let store = Arc::clone(&store.store);
            tokio::spawn(async move { store.stage_alone(vec![staged(&format!("w{n}"))]).await.unwrap() })
        })
        .collect();
    transaction.commit().await.unwrap();
    for write in waiting {
        write.await.unwrap();
    }
    assert_eq!(event_ids(store).await.len(), 11);
}

pub async fn a_nested_transaction_fails_alone(store: &Fixture) {
    let mut transaction = begin(store).await;
    stage(store, &mut *transaction, "e1").await;
    let failed: Result<(), DieselError> = on!(&mut transaction.tx(), |connection| nested(connection).await);
    assert!(matches!(failed, Err(DieselError::RollbackTransaction)));
    transaction.commit().await.unwrap();
    assert_eq!(event_ids(store).await, ["e1"]);
}

/// Stages within a transaction of the caller's own that fails.
async fn nested<C: diesel_async::AsyncConnection + AsyncStage>(connection: &mut C) -> Result<(), DieselError> {
    use diesel_async::TransactionManager;
    C::TransactionManager::begin_transaction(connection).await?;
    AsyncStage::insert(connection, &[staged("lost")]).await?;
    C::TransactionManager::rollback_transaction(connection).await?;
    Err(DieselError::RollbackTransaction)
}

pub async fn blocking_work_is_in_the_transaction(store: &Fixture) {
    let mut transaction = begin(store).await;
    let (sender, staged_inside) = std::sync::mpsc::channel();
    let work = Box::new(move |tx: &mut SyncTx<'_>| sender.send(stage_blocking(tx, "e1")).unwrap());
    let run = transaction.run_blocking(work).await;
    if !has_blocking_connections(store) {
        assert!(run.is_err());
        return;
    }
    run.unwrap();
    staged_inside.recv().unwrap().unwrap();
    stage(store, &mut *transaction, "e2").await;
    transaction.commit().await.unwrap();
    assert_eq!(event_ids(store).await, ["e1", "e2"]);
}

pub async fn blocking_work_that_panics_breaks_nothing(store: &Fixture) {
    if !has_blocking_connections(store) {
        return;
    }
    let mut transaction = begin(store).await;
    let work = Box::new(|tx: &mut SyncTx<'_>| {
        stage_blocking(tx, "e1").unwrap();
        panic!("on purpose");
    });
    let error = transaction.run_blocking(work).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    transaction.rollback().await.unwrap();
    assert!(event_ids(store).await.is_empty());
    let mut transaction = begin(store).await;
    stage(store, &mut *transaction, "e2").await;
    transaction.commit().await.unwrap();
    assert_eq!(event_ids(store).await, ["e2"]);
}

fn has_blocking_connections(store: &Fixture) -> bool {
    match store.backend() {
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => true,
        _ => false,
    }
}

/// Publishes as a synchronous `#[tracked_publish]` function does.
fn stage_blocking(tx: &mut SyncTx<'_>, id: &str) -> Result<(), DieselError> {
    match tx {
        #[cfg(feature = "sqlite")]
        SyncTx::Sqlite(connection) => {
            let scope = SyncStage::begin(*connection)?;
            assert_eq!(scope, StageScope::Joined);
            SyncStage::insert(*connection, &[staged(id)])?;
            SyncStage::end(*connection, scope, Ending::Commit)
        }
        _ => Err(DieselError::NotFound),
    }
}

pub async fn a_publishing_function_joins_an_open_transaction(store: &Fixture) {
    let mut transaction = begin(store).await;
    publish(&mut transaction.tx(), "e1", Ending::Commit).await.unwrap();
    on!(&mut transaction.tx(), |connection| publish(&mut **connection, "e2", Ending::Rollback).await).unwrap();
    assert!(event_ids(store).await.is_empty());
    transaction.commit().await.unwrap();
    // Who opened the transaction ends it, whatever a function that joined it says.
    assert_eq!(event_ids(store).await, ["e1", "e2"]);
}

/// Publishes as an asynchronous `#[tracked_publish]` function does within its caller's transaction.
async fn publish<C: AsyncStage>(connection: &mut C, id: &str, ending: Ending) -> Result<(), DieselError> {
    let scope = connection.begin().await?;
    assert_eq!(scope, StageScope::Joined);
    connection.insert(&[staged(id)]).await?;
    connection.end(scope, ending).await
}

pub async fn a_publishing_function_alone_has_its_own_transaction(store: &Fixture) {
    match store.backend() {
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => {
            let path = store.url.trim_start_matches("sqlite:").to_owned();
            let mut connection = tracked_events::AsyncSqliteConnection::establish(&path).await.unwrap();
            publish_alone(store, &mut connection).await;
            tokio::task::spawn_blocking(move || publish_blocking_alone(&path)).await.unwrap();
            assert_eq!(event_ids(store).await, ["kept", "kept blocking"]);
        }
        #[cfg(feature = "postgres")]
        Backend::Postgres => {
            let mut connection = tracked_events::AsyncPgConnection::establish(&store.url).await.unwrap();
            publish_alone(store, &mut connection).await;
        }
        _ => {}
    }
}

async fn publish_alone<C: AsyncStage>(store: &Fixture, connection: &mut C) {
    for (id, ending) in [("kept", Ending::Commit), ("lost", Ending::Rollback)] {
        let scope = connection.begin().await.unwrap();
        assert_eq!(scope, StageScope::Opened);
        connection.insert(&[staged(id)]).await.unwrap();
        connection.end(scope, ending).await.unwrap();
    }
    assert_eq!(event_ids(store).await, ["kept"]);
}

#[cfg(feature = "sqlite")]
fn publish_blocking_alone(path: &str) {
    use diesel::Connection;
    let mut connection = diesel::SqliteConnection::establish(path).unwrap();
    for (id, ending) in [("kept blocking", Ending::Commit), ("lost", Ending::Rollback)] {
        let scope = SyncStage::begin(&mut connection).unwrap();
        assert_eq!(scope, StageScope::Opened);
        SyncStage::insert(&mut connection, &[staged(id)]).unwrap();
        SyncStage::end(&mut connection, scope, ending).unwrap();
    }
}
