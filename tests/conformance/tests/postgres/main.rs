//! What holds on PostgreSQL beside what every store must do.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, missing_docs, reason = "tests")]

mod encryption;
mod long_logs;

use std::time::Duration;

use diesel::{QueryableByName, sql_types::BigInt};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use tracked_events::{
    Clock, ErrorKind, Tx,
    stores::{
        StoreOptions,
        migrations::{SchemaState, check, migrate},
        open,
    },
};
use tracked_events_conformance::{
    given::{NOW, register},
    postgres::Database,
};

mod postgres {
    use super::*;

    #[tokio::test]
    async fn instances_that_start_at_once_migrate_an_empty_database_once() {
        let Some(database) = database().await else { return };
        assert_eq!(check(&database.url).await.unwrap(), SchemaState::Missing);
        let starts: Vec<_> = (0..4).map(|_| tokio::spawn(begin_to_migrate(database.url.clone()))).collect();
        let mut done = Vec::new();
        for start in starts {
            done.extend(start.await.unwrap());
        }
        assert_eq!(done.len(), 1, "{done:?}");
        assert_eq!(check(&database.url).await.unwrap(), SchemaState::Current);
    }

    async fn begin_to_migrate(url: String) -> Vec<String> {
        migrate(&url).await.unwrap()
    }

    #[tokio::test]
    async fn a_newer_database_is_left_alone() {
        let Some(database) = database().await else { return };
        migrate(&database.url).await.unwrap();
        database.run("INSERT INTO tracked_events_migrations (version, name) VALUES ('99999999', 'later')").await;
        assert_eq!(migrate(&database.url).await.unwrap_err().kind(), ErrorKind::Schema);
    }

    #[tokio::test]
    async fn a_dropped_transaction_stops_what_the_server_runs_for_it() {
        let Some(database) = database().await else { return };
        migrate(&database.url).await.unwrap();
        let store = open(&options(&database)).await.unwrap();
        let mut transaction = store.begin().await.unwrap();
        let slow = tokio::spawn(async move {
            if let Tx::Postgres(connection) = transaction.tx() {
                diesel::sql_query("SELECT pg_sleep(3600) /* slow */").execute(connection).await.unwrap();
            }
        });
        let mut observer = AsyncPgConnection::establish(&database.url).await.unwrap();
        until_slow(&mut observer, 1).await;
        slow.abort();
        until_slow(&mut observer, 0).await;
        // Its place in the pool is free again, on another connection.
        store.begin().await.unwrap().rollback().await.unwrap();
    }

    /// What a killed process had sent arrives while another takes its place: nobody would free what it took.
    #[tokio::test]
    async fn a_lease_asked_for_during_a_takeover_is_not_given() {
        let Some(database) = database().await else { return };
        migrate(&database.url).await.unwrap();
        let store = open(&options(&database)).await.unwrap();
        let shard = ["outbox/1".to_owned()];
        register(&store, "one").await;
        register(&store, "two").await;
        let mut taking_over = AsyncPgConnection::establish(&database.url).await.unwrap();
        taking_over.batch_execute("BEGIN; DELETE FROM instance WHERE id = 'one'").await.unwrap();
        let mut late = {
            let (store, shard) = (store.clone(), shard.clone());
            tokio::spawn(async move { store.acquire(&shard, "one", NOW).await })
        };
        let mut observer = AsyncPgConnection::establish(&database.url).await.unwrap();
        tokio::select! {
            early = &mut late => panic!("it was given {:?}", early.unwrap()),
            () = until_waiting(&mut observer) => {}
        }
        taking_over.batch_execute("COMMIT").await.unwrap();
        assert!(late.await.unwrap().unwrap().is_empty());
        assert_eq!(store.acquire(&shard, "two", NOW).await.unwrap().len(), 1);
    }
}

fn options(database: &Database) -> StoreOptions {
    StoreOptions { url: database.url.clone(), max_connections: 1, clock: Clock::system() }
}

async fn database() -> Option<Database> {
    let database = Database::create().await;
    if database.is_none() {
        eprintln!("not run: there is no server for this database here");
    }
    database
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Waits until the server runs that many slow statements in this database.
async fn until_slow(observer: &mut AsyncPgConnection, wanted: i64) {
    until(observer, "state = 'active' AND query LIKE '%/* slow */'", wanted).await;
}

/// Waits until a statement in this database waits for another's lock.
async fn until_waiting(observer: &mut AsyncPgConnection) {
    until(observer, "wait_event_type = 'Lock'", 1).await;
}

async fn until(observer: &mut AsyncPgConnection, condition: &str, wanted: i64) {
    let sql =
        format!("SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database() AND {condition}");
    let reached =
        async { while diesel::sql_query(&sql).get_result::<Count>(observer).await.unwrap().count != wanted {} };
    tokio::time::timeout(Duration::from_secs(30), reached).await.unwrap();
}
