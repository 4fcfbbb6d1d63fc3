//! Events that are published and consumed once, in order, and on record, in your service's own database.

#![cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    allow(
        unused,
        unreachable_code,
        clippy::all,
        reason = "a build without a database can check, and not run, anything"
    )
)]

// The paths that the macros write, `::tracked_events::…`, also hold inside this crate.
extern crate self as tracked_events;

#[macro_use]
mod failpoint;
pub mod broker;
pub mod brokers;
mod cli;
mod clock;
mod codec;
mod config;
mod connection;
mod dead_letter;
pub mod envelope;
mod error;
mod event;
mod http;
pub mod listen;
pub mod prelude;
mod publish;
pub mod retry;
pub mod store;
pub mod stores;
mod supervisor;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "postgres")]
pub use diesel_async::AsyncPgConnection;

#[cfg(feature = "sqlite")]
pub use self::connection::{AsyncSqliteConnection, InPlace};
pub use self::{
    cli::{Command, Output, Service},
    clock::{Clock, Timestamp},
    config::{BackoffKind, BackoffOverride, Config, ListenerOverride, redacted_url},
    connection::{Backend, FromSyncTx, FromTx, SyncTx, Tx},
    error::{BoxError, ConfigError, Error, ErrorKind, HandlerError, Result, Verdict},
    event::{IdField, KeyField, Publishable, Published, TrackedEvent},
    listen::{EventContext, FromDelivery, State},
    publish::{PublishOptions, Publisher, PublisherTransaction},
    supervisor::{Builder, Handle, ListenerStatus, RuntimeStatus, Setup, SetupFunction, Tracked},
};
pub use tracked_events_macros::{TrackedEvent, consumer_main, tracked_listener, tracked_publish};

#[doc(hidden)]
pub mod __private;

/// The examples in the macros' documentation, and in the README.
#[cfg(doctest)]
mod documented {
    #[doc = include_str!("../../macros/src/docs/consumer_main.md")]
    struct ConsumerMain;
    #[doc = include_str!("../../macros/src/docs/tracked_event.md")]
    struct TrackedEvent;
    #[doc = include_str!("../../macros/src/docs/tracked_listener.md")]
    struct TrackedListener;
    #[doc = include_str!("../../macros/src/docs/tracked_publish.md")]
    struct TrackedPublish;
}
