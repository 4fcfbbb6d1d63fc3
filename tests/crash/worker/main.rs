//! A process of a service that publishes, consumes and is killed.
//!
//! `crash-worker DATABASE_URL SERVICE INSTANCE LEDGER NOTES`: it publishes notes up to that number, from where an
//! earlier process left off, waits until all is handled, sends the dead letters again once, waits and drains. What
//! its handlers begin is in the ledger, a file. `TRACKED_KILL_AT` says where it dies.
#![allow(clippy::print_stdout, reason = "the campaign reads what the worker says")]

mod handlers;
mod ledger;

use std::{path::Path, time::Duration};

use diesel_async::RunQueryDsl as _;
use tracked_events::{
    __private::passed,
    Config, Handle, Tracked,
    prelude::*,
    store::{OperatorAct, OperatorAction, RecordQuery},
};

use self::{
    handlers::{Note, book, file_away, keep, scribble},
    ledger::Ledger,
};

/// How many notes share a transaction.
const BATCH: u32 = 5;
/// Every so many notes there is one that is published twice.
const TWICE_PUBLISHED: u32 = 10;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: crash-worker DATABASE_URL SERVICE INSTANCE LEDGER NOTES");
    let (url, service, instance, ledger) = (next()?, next()?, next()?, next()?);
    let notes = next()?.parse()?;
    let ledger = Ledger::open(Path::new(&ledger))?;
    let handle = start(url, &service, instance, ledger.clone()).await?;
    println!("ready");
    publish(&handle, notes).await?;
    handle.idle().await?;
    println!("idle");
    ledger.redeem()?;
    send_again(&handle).await?;
    handle.idle().await?;
    handle.drain().await?;
    println!("drained");
    Ok(())
}

async fn start(url: String, service: &str, instance: String, ledger: Ledger) -> Result<Handle, BoxError> {
    let mut config = Config::new(service);
    config.database_url = url;
    config.instance = Some(instance);
    config.poll_interval = Duration::from_millis(50);
    config.max_connections = 4;
    let listeners = listeners![book, file_away, keep, scribble];
    let setup = move |app: &mut Setup| {
        app.state(ledger);
        std::future::ready(Ok::<(), BoxError>(()))
    };
    Ok(Tracked::builder(service).config(config).listeners(listeners).setup(setup).start().await?)
}

/// Publishes each note in the transaction that writes it into the business's own table, unless it is there.
async fn publish(handle: &Handle, notes: u32) -> Result<(), BoxError> {
    for first in (0..notes).step_by(usize::try_from(BATCH)?) {
        let mut transaction = handle.publisher().begin().await?;
        let mut written = Vec::new();
        for note in (first..notes.min(first + BATCH)).map(Note::numbered) {
            let insert = diesel::sql_query("INSERT INTO business (event_id) VALUES ($1) ON CONFLICT DO NOTHING");
            let insert = insert.bind::<diesel::sql_types::Text, _>(note.id.clone());
            let mut tx = transaction.tx();
            let tx = &mut tx;
            let is_new = on!(tx, |c| insert.execute(c).await)? == 1;
            let copies = if note.number % TWICE_PUBLISHED == 3 { 2 } else { 1 };
            written.extend(std::iter::repeat_n(note, if is_new { copies } else { 0 }));
        }
        if written.is_empty() {
            transaction.rollback().await?;
            continue;
        }
        passed("publish.written");
        transaction.publish(&written).await?;
        transaction.commit().await?;
        println!("published");
    }
    Ok(())
}

/// Sends every dead letter again that was not yet.
async fn send_again(handle: &Handle) -> Result<(), BoxError> {
    let query = RecordQuery { limit: 10_000, ..RecordQuery::default() };
    let dead = handle.store().for_review(&query).await?;
    let ids = dead.iter().filter(|record| record.redrive_count == 0).map(|record| record.id).collect();
    let act = OperatorAct {
        ids,
        action: OperatorAction::Retry,
        operator: "the campaign".to_owned(),
        reason: None,
        now: handle.clock().now(),
    };
    handle.store().act(act).await?;
    passed("redrive.committed");
    Ok(())
}
