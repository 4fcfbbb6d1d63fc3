//! What the program listens to: the declarations that `#[tracked_listener]` writes down at compile time.

use std::{any::TypeId, borrow::Cow, future::Future, pin::Pin, time::Duration};

use serde::Serialize;

use super::EventContext;
use crate::{
    connection::{Backend, SyncTx, Tx},
    error::HandlerError,
    retry::{Backoff, RetryPolicy},
};

/// The future of one run of a handler.
pub type HandlerFuture<'a> = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send + 'a>>;

/// Reads an event's id out of its payload.
pub type Identify = fn(&[u8]) -> Option<String>;

/// How a handler is called: decode, validate, extract, run. `#[tracked_listener]` writes it.
#[derive(Clone, Copy)]
pub enum Handle {
    /// An `async` function without a connection.
    Async(for<'a> fn(&'a EventContext) -> HandlerFuture<'a>),
    /// An `async` function with a connection: its writes commit together with PROCESSED.
    Transactional {
        /// The only database it can run on, if its connection is of one database.
        backend: Option<Backend>,
        /// Calls it.
        call: for<'a, 'c> fn(&'a EventContext, &'a mut Tx<'c>) -> HandlerFuture<'a>,
    },
    /// A synchronous function, run on a thread where it may block.
    Blocking(fn(&EventContext) -> Result<(), HandlerError>),
    /// A synchronous function with a synchronous connection.
    BlockingTransactional {
        /// The only database it can run on.
        backend: Option<Backend>,
        /// Calls it.
        call: fn(&EventContext, &mut SyncTx<'_>) -> Result<(), HandlerError>,
    },
}

impl Handle {
    /// Whether the handler's effects commit together with its status.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        matches!(self, Self::Transactional { .. } | Self::BlockingTransactional { .. })
    }

    /// The only database the handler can run on, if there is only one.
    #[must_use]
    pub fn backend(&self) -> Option<Backend> {
        match self {
            Self::Transactional { backend, .. } | Self::BlockingTransactional { backend, .. } => *backend,
            Self::Async(_) | Self::Blocking(_) => None,
        }
    }
}

/// Whether events of one key are handled one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Events of one key in order, retries included; events without a key in any order.
    Key,
    /// Any order.
    #[default]
    None,
}

/// What a dead letter does to the later events of its key, with [`Order::Key`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeadLetter {
    /// They go on.
    #[default]
    Continue,
    /// They wait until an operator has retried or discarded it.
    HoldKey,
}

/// Where a consumer group that the broker does not know yet begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At the first event that the broker still has.
    #[default]
    Earliest,
    /// At the events published from now on.
    Latest,
}

/// How a listener behaves. Each field can be overridden in configuration, `[listener.NAME]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListenerOptions {
    /// How many retries may follow the first run.
    pub retries: u32,
    /// How long one run of the handler may take.
    #[serde(with = "crate::config::duration")]
    pub timeout: Duration,
    /// How long it may take from the claim of an event until it is settled, commit included.
    #[serde(with = "crate::config::duration")]
    pub processing_timeout: Duration,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// How many events are handled at a time.
    pub concurrency: u32,
    /// Intake goes on while fewer than this many events wait in memory; one admitted batch may come on top.
    pub queue: u32,
    /// Whether events of one key are handled in order.
    pub order: Order,
    /// What a dead letter does to the later events of its key.
    pub on_dead_letter: OnDeadLetter,
    /// The topic of the dead letters; `{topic}` stands for the event's own.
    pub dead_letter: Cow<'static, str>,
    /// Where a new consumer group begins.
    pub start: Start,
}

impl ListenerOptions {
    /// The defaults that the attribute's documentation states.
    pub const DEFAULT: Self = Self {
        retries: 3,
        timeout: Duration::from_secs(30),
        processing_timeout: Duration::from_secs(60),
        backoff: Backoff::DEFAULT,
        concurrency: 10,
        queue: 100,
        order: Order::None,
        on_dead_letter: OnDeadLetter::Continue,
        dead_letter: Cow::Borrowed("{topic}.dlq"),
        start: Start::Earliest,
    };

    /// The rule for failed attempts.
    #[must_use]
    pub fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy { retries: self.retries, backoff: self.backoff }
    }
}

/// Something that a handler's parameter needs from set-up, such as a [`State`](super::State).
#[derive(Clone, Copy, Debug)]
pub struct Requirement {
    /// The type as the source names it.
    pub type_name: &'static str,
    /// The type.
    pub type_id: TypeId,
}

/// Where a listener stands in the source.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Location {
    /// The module.
    pub module: &'static str,
    /// The file.
    pub file: &'static str,
    /// The line.
    pub line: u32,
}

/// A listener, as declared. `#[tracked_listener]` writes one for each annotated function.
pub struct ListenerDeclaration {
    /// Its stable identity within the group.
    pub name: &'static str,
    /// The topics it listens to.
    pub topics: &'static [&'static str],
    /// The consumer group; `None` is the service's own.
    pub group: Option<&'static str>,
    /// The event type it wants; `*` is every type.
    pub event_type: &'static str,
    /// How it behaves unless configuration says otherwise.
    pub options: ListenerOptions,
    /// How it is called.
    pub handle: Handle,
    /// Reads the event's id from a payload whose message brings none; `None` when the event has no `id` field.
    pub identify: Option<Identify>,
    /// Serialized names of fields that no page may show.
    pub redacted: &'static [&'static str],
    /// What its parameters need from set-up.
    pub requires: fn() -> Vec<Requirement>,
    /// Where it stands in the source.
    pub location: Location,
}

/// A declaration in the program's list.
pub struct Registered(pub &'static ListenerDeclaration);

inventory::collect!(Registered);

/// Every listener that is linked into the program, by name.
#[must_use]
pub fn registered() -> Vec<&'static ListenerDeclaration> {
    let mut found: Vec<_> = inventory::iter::<Registered>.into_iter().map(|registered| registered.0).collect();
    found.sort_by_key(|declaration| (declaration.name, declaration.location.file, declaration.location.line));
    found
}
