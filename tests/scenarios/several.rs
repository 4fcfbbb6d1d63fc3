//! Several consumers on one database: threads of a process, or processes.

use std::collections::BTreeSet;

use diesel_async::RunQueryDsl as _;
use support::{Database, on_every_database};
use tracked_events::{Handle, prelude::*, store::StagedEvent};

use crate::{
    note::{Note, deliver, delivery},
    process::Worker,
};

on_every_database![
    four_consumers_given_each_of_a_thousand_ids_three_times_have_a_thousand_effects,
    four_processes_given_each_of_a_thousand_ids_three_times_have_a_thousand_effects,
];

const EFFECTS: &str = "CREATE TABLE effect (event_id TEXT NOT NULL)";

#[tracked_listener]
async fn book(note: Note, tx: &mut Tx<'_>) -> Result<(), BoxError> {
    let effect = diesel::sql_query("INSERT INTO effect (event_id) VALUES ($1)");
    on!(tx, |c| effect.bind::<diesel::sql_types::Text, _>(note.id).execute(c).await)?;
    Ok(())
}

/// Every id three times, in an order without a pattern, each delivery with another key: so that the three of an id meet
/// in different consumers.
fn deliveries() -> Vec<StagedEvent> {
    (0..3000)
        .map(|place| (place * 7919) % 3000)
        .map(|number: usize| {
            let mut staged = delivery(&Note::new(format!("id-{}", number % 1000)));
            staged.envelope.key = Some(number.to_le_bytes().to_vec());
            staged
        })
        .collect()
}

async fn until_shared_by_four(db: &Database) {
    let sharing =
        "(SELECT DISTINCT instance_id FROM lease WHERE resource LIKE 'group/%' AND instance_id IS NOT NULL) owners";
    db.until_count(sharing, 4).await;
}

async fn assert_a_thousand_effects(db: &Database) {
    let effects: Vec<(String,)> = db.rows("event_id", "FROM effect").await;
    let distinct: BTreeSet<_> = effects.iter().collect();
    assert_eq!((effects.len(), distinct.len()), (1000, 1000), "effects, and ids that had one");
    let statuses: Vec<(String, i64)> =
        db.rows("status, count(*)", "FROM event_consumption_log GROUP BY status ORDER BY status").await;
    assert_eq!(statuses, [("DUPLICATE".to_owned(), 2000), ("PROCESSED".to_owned(), 1000)]);
    assert_eq!(db.count("event_attempt").await, 1000);
    assert_eq!(db.count("(SELECT DISTINCT instance_id FROM event_attempt) workers").await, 4, "everyone had a part");
}

async fn four_consumers_given_each_of_a_thousand_ids_three_times_have_a_thousand_effects(db: Database) {
    db.script(EFFECTS).await;
    let mut services: Vec<Handle> = Vec::new();
    for name in ["one", "two", "three", "four"] {
        services.push(db.service(listeners![book]).instance(name).start().await);
    }
    until_shared_by_four(&db).await;
    for (number, part) in deliveries().chunks(100).enumerate() {
        deliver(&services[number % 4], part.to_vec()).await;
    }
    for service in &services {
        service.idle().await.unwrap();
    }
    assert_a_thousand_effects(&db).await;
}

async fn four_processes_given_each_of_a_thousand_ids_three_times_have_a_thousand_effects(db: Database) {
    db.script(EFFECTS).await;
    let publisher = db.service(listeners![]).instance("publisher").start().await;
    let mut workers = Vec::new();
    for name in ["one", "two", "three", "four"] {
        workers.push(Worker::start(&db, "book", name).await);
    }
    until_shared_by_four(&db).await;
    for part in deliveries().chunks(100) {
        deliver(&publisher, part.to_vec()).await;
    }
    db.until_count("event_consumption_log WHERE status IN ('PROCESSED', 'DUPLICATE')", 3000).await;
    for worker in workers {
        worker.drain().await;
    }
    assert_a_thousand_effects(&db).await;
    assert_eq!(db.count("claim").await, 0);
}
