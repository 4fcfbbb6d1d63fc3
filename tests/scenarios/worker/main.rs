//! A process of a service, for scenarios in which processes share a database, or die.
//!
//! `worker ROLE DATABASE_URL SERVICE INSTANCE`: it says what happens on standard output, one line each, and drains
//! when its standard input ends.
#![allow(clippy::print_stdout, reason = "the scenario reads what the worker says")]

mod memory;

use std::{io::Read, time::Duration};

use diesel_async::RunQueryDsl as _;
use tracked_events::{Config, Handle, Tracked, listen::ListenerDeclaration, prelude::*};

#[derive(Clone, Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "NOTE_TAKEN", topic = "notes")]
struct Note {
    #[tracked_event(id)]
    id: String,
    #[tracked_event(key)]
    key: Option<String>,
    text: String,
}

/// Has its effect in the transaction that settles the event.
#[tracked_listener]
async fn book(note: Note, tx: &mut Tx<'_>) -> Result<(), BoxError> {
    let effect = diesel::sql_query("INSERT INTO effect (event_id) VALUES ($1)");
    on!(tx, |c| effect.bind::<diesel::sql_types::Text, _>(note.id).execute(c).await)?;
    Ok(())
}

/// Never ends.
#[tracked_listener]
async fn ponder(note: Note) -> Result<(), BoxError> {
    println!("begun {}", note.id);
    std::future::pending().await
}

/// Takes its process down with it when the note is poisoned.
#[tracked_listener(name = "ponder")]
async fn swallow(note: Note) -> Result<(), BoxError> {
    if note.text == "poison" {
        std::process::abort();
    }
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: worker ROLE DATABASE_URL SERVICE INSTANCE");
    let (role, url, service, instance) = (next()?, next()?, next()?, next()?);
    let mut config = Config::new(&service);
    config.database_url = url;
    config.instance = Some(instance);
    // Short enough to wait for, and long enough for a machine that is busy.
    match role.as_str() {
        "book_on_a_short_lease" => config.lease = Duration::from_secs(4),
        "ponder" | "swallow" => config.lease = Duration::from_secs(1),
        _ => {}
    }
    config.poll_interval = Duration::from_millis(100);
    config.max_connections = 4;
    match role.as_str() {
        "book" | "book_on_a_short_lease" => until_told(&start(config, listeners![book]).await?).await,
        "ponder" => until_told(&start(config, listeners![ponder]).await?).await,
        "swallow" => until_told(&start(config, listeners![swallow]).await?).await,
        "remember" => memory::measure(config).await,
        role => Err(format!("no such role: {role}").into()),
    }
}

async fn start(config: Config, listeners: Vec<&'static ListenerDeclaration>) -> Result<Handle, BoxError> {
    let handle = Tracked::builder(config.service.clone()).config(config).listeners(listeners).start().await?;
    println!("ready");
    Ok(handle)
}

async fn until_told(handle: &Handle) -> Result<(), BoxError> {
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    handle.drain().await?;
    println!("drained");
    Ok(())
}
