//! The table of statuses, tried by chance: whatever happens in whatever order, every event's history is one that the
//! table allows, and it ends as the model says.

mod model;
mod world;

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, TestRunner},
};
use support::{Database, on_every_database};

on_every_database![every_history_is_one_that_the_table_of_statuses_allows];

/// How many histories, each of its own database's only service.
const HISTORIES: usize = 3;

async fn every_history_is_one_that_the_table_of_statuses_allows(db: Database) {
    let engine = db.engine();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for _ in 0..HISTORIES {
        let plan = model::plan().new_tree(&mut runner).unwrap().current();
        let db = Database::create(engine).await;
        let shown = format!("{plan:#?}");
        let lived = tokio::spawn(async move { world::live(&db, plan).await }).await;
        assert!(lived.is_ok_and(|()| true), "this plan was not lived through: {shown}");
    }
}
