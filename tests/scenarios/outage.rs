//! Scenario C: the database goes away under load, and comes back.

use diesel_async::RunQueryDsl as _;
use support::{Database, Engine, counted, eventually, on_every_database, on_postgres};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tracked_events::{Handle, PublishOptions, prelude::*, telemetry::metric};

use crate::note::Note;

on_every_database![scenario_c_the_database_is_lost_under_load_and_all_events_finish_when_it_returns];
on_postgres![connections_that_break_again_and_again_lose_nothing];

const EVENTS: usize = 400;

#[tracked_listener(backoff = fixed(delay = "50ms"), retries = 20)]
async fn book(note: Note, tx: &mut Tx<'_>) -> Result<(), BoxError> {
    let effect = diesel::sql_query("INSERT INTO effect (event_id) VALUES ($1)");
    on!(tx, |c| effect.bind::<diesel::sql_types::Text, _>(note.id).execute(c).await)?;
    Ok(())
}

#[tracked_listener]
async fn glance(_note: Note) -> Result<(), HandlerError> {
    Ok(())
}

fn notes(part: usize) -> Vec<Note> {
    (0..EVENTS).map(|number| Note::new(format!("{part}-{number}"))).collect()
}

async fn publish(service: &Handle, part: usize) -> tracked_events::Result<()> {
    service.publisher().publish_with(&notes(part), &PublishOptions::DEFAULT).await
}

async fn assert_all_finished(db: &Database, parts: usize) {
    let events = i64::try_from(parts * EVENTS).unwrap();
    assert_eq!(db.count("event_consumption_log WHERE status = 'PROCESSED'").await, 2 * events);
    assert_eq!(db.count("event_consumption_log").await, 2 * events, "nothing was taken in twice");
    assert_eq!(db.count("effect").await, events);
    assert_eq!(db.count("(SELECT DISTINCT event_id FROM effect) effects").await, events);
    assert_eq!((db.count("claim").await, db.count("outbox_queue").await), (0, 0));
}

async fn scenario_c_the_database_is_lost_under_load_and_all_events_finish_when_it_returns(db: Database) {
    db.script("CREATE TABLE effect (event_id TEXT NOT NULL)").await;
    match db.engine() {
        Engine::Sqlite => lost_to_a_lock(&db).await,
        Engine::Postgres => lost_to_the_network(&db).await,
    }
    assert_all_finished(&db, 1).await;
}

/// Somebody else holds SQLite's lock for longer than anybody waits for it.
async fn lost_to_a_lock(db: &Database) {
    let service = db.service(listeners![book, glance]).start().await;
    publish(&service, 0).await.unwrap();
    eventually("the load is on", async || db.count("effect").await > 20).await;
    let lock = db.lock().await;
    let settled = "event_consumption_log WHERE status <> 'PROCESSING'";
    let before = db.count(settled).await;
    eventually("a handler finds the database locked", async || counted(db, metric::POSTPONED) > 0.0).await;
    assert_eq!(db.count(settled).await, before, "nothing is settled meanwhile");
    drop(lock);
    service.idle().await.unwrap();
    assert_eq!(db.count("event_attempt WHERE status <> 'SUCCESS'").await, 0, "what was not run cost no attempt");
}

/// The network between service and database breaks, and refuses until it is mended.
async fn lost_to_the_network(db: &Database) {
    let wire = Wire::to(db).await;
    let service = db.service(listeners![book, glance]).configure(|config| config.database_url.clone_from(&wire.url));
    let service = service.start().await;
    publish(&service, 0).await.unwrap();
    eventually("the load is on", async || db.count("effect").await > 20).await;
    wire.cut();
    let refused = service.publisher().publish(&Note::new("refused")).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    let admitted = db.count("event_consumption_log").await;
    let read = "embedded_position p WHERE p.next_offset > 0";
    assert!(db.count(read).await > 0 && admitted > 0);
    wire.mend();
    service.idle().await.unwrap();
}

async fn connections_that_break_again_and_again_lose_nothing(db: Database) {
    db.script("CREATE TABLE effect (event_id TEXT NOT NULL)").await;
    let service = db.service(listeners![book, glance]).start().await;
    for part in 0..4 {
        while publish(&service, part).await.is_err() {}
        eventually("the load is on", async || db.count("effect").await > i64::try_from(part * EVENTS + 20).unwrap())
            .await;
        db.script(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    }
    service.idle().await.unwrap();
    assert_all_finished(&db, 4).await;
}

/// A way to the server that can be cut.
struct Wire {
    url: String,
    cut: watch::Sender<bool>,
}

impl Wire {
    async fn to(db: &Database) -> Self {
        let (scheme, rest) = db.url().split_once("://").unwrap();
        let (user, rest) = rest.split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{user}@{}/{name}", listener.local_addr().unwrap());
        let (cut, _) = watch::channel(false);
        let (server, seen) = (server.to_owned(), cut.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut cut = seen.subscribe();
                if *cut.borrow_and_update() {
                    continue;
                }
                tokio::spawn(carry(client, server.clone(), cut));
            }
        });
        Self { url, cut }
    }

    fn cut(&self) {
        self.cut.send_replace(true);
    }

    fn mend(&self) {
        self.cut.send_replace(false);
    }
}

async fn carry(mut client: TcpStream, server: String, mut cut: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cut.wait_for(|cut| *cut) => {}
    }
}
