//! What every database must do to be a store of tracked-events, and every message broker to be its broker.
//!
//! A check is a function over a fresh store or broker, named by what it states. Every database and every broker runs
//! all of them, each as a test of its own; a new one, of this workspace or not, joins with one line:
//!
//! ```ignore
//! tracked_events_conformance::store_suite!(my_database, my_fixture);
//! tracked_events_conformance::broker_suite!(my_broker, my_broker_fixture);
//! tracked_events_conformance::producer_suite!(my_producer, my_producer_fixture);
//! ```
//!
//! where `async fn my_fixture() -> Option<Fixture>` opens an empty, migrated database, or returns `None`, and says so,
//! where there is no server to run on. The others do the same for a broker without topics
//! ([`BrokerFixture`](broker::BrokerFixture)), and for one to which messages are sent
//! ([`ProducerFixture`](broker::ProducerFixture)).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "checks say in their names what they state, and fail by panicking"
)]

use std::{any::Any, ops::Deref, time::Duration};

use tracked_events::{Clock, store::SharedStore, stores::StoreOptions};

pub mod broker;
pub mod embedded;
pub mod given;
pub mod kafka;
pub mod postgres;
pub mod sqlite;
pub mod store;

/// How long a check may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// A store to check.
pub struct Fixture {
    /// Empty and migrated.
    pub store: SharedStore,
    /// The database's URL.
    pub url: String,
    /// What goes when the check is over.
    pub guard: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A store on a database that is empty and migrated.
    pub async fn open(url: String, guard: impl Any + Send + Sync) -> Self {
        let store = open(&url).await;
        given::register(&store, given::ME).await;
        Self { store, url, guard: Box::new(guard) }
    }

    /// Another store on the same database, as another process has it.
    pub async fn another_process(&self) -> SharedStore {
        open(&self.url).await
    }
}

async fn open(url: &str) -> SharedStore {
    let options = StoreOptions { url: url.to_owned(), max_connections: 4, clock: Clock::system() };
    tracked_events::stores::open(&options).await.unwrap()
}

impl Deref for Fixture {
    type Target = SharedStore;

    fn deref(&self) -> &SharedStore {
        &self.store
    }
}

/// Runs a check, or says that there is nothing to run it on.
pub async fn run<F, C: AsyncFnOnce(&F)>(fixture: Option<F>, check: C) {
    match fixture {
        Some(fixture) => tokio::time::timeout(DEADLINE, check(&fixture)).await.expect("the check hangs"),
        None => eprintln!("not run: there is no server to run it on here"),
    }
}

/// Makes a test of each check of a store, in a module named after the database.
#[macro_export]
macro_rules! store_suite {
    ($database:ident, $open:path) => {
        mod $database {
            $crate::each_store_check!(suite_tests, store, $open);
        }
    };
}

/// Makes a test of each check of a broker, in a module named after it.
#[macro_export]
macro_rules! broker_suite {
    ($broker:ident, $open:path) => {
        mod $broker {
            $crate::each_broker_check!(suite_tests, broker, $open);
        }
    };
}

/// Makes a test of each check of a broker to which messages are sent, in a module named after it.
#[macro_export]
macro_rules! producer_suite {
    ($producer:ident, $open:path) => {
        mod $producer {
            $crate::each_producer_check!(suite_tests, broker, $open);
        }
    };
}

/// The tests of a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! suite_tests {
    ($suite:ident, $open:path; $($area:ident { $($check:ident,)* })*) => {
        $(mod $area {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                $crate::run($open().await, $crate::$suite::$area::$check).await;
            })*
        })*
    };
}
