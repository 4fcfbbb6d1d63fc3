//! Staging: from a payload to a row of the production log, on the caller's connection.

use crate::{
    clock::Timestamp,
    codec,
    envelope::{Envelope, IdSource, JSON},
    error::Result,
    event::TrackedEvent,
    publish::DeliveryScope,
    store::{EventKind, StagedEvent},
};

/// What `#[tracked_publish]` says about the events of its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishOptions {
    /// How often publishing is tried again after the first time.
    pub retries: u32,
    /// The topic, in place of the event's own.
    pub topic: Option<&'static str>,
}

impl PublishOptions {
    /// Three retries, the event's own topic.
    pub const DEFAULT: Self = Self { retries: 3, topic: None };
}

/// Turns events into rows. Inside a delivery they inherit its correlation id, and their ids are derived from it.
///
/// # Errors
/// When an event cannot be encoded.
pub(crate) fn staged<E: TrackedEvent>(
    events: &[E],
    options: &PublishOptions,
    service: &str,
    now: Timestamp,
) -> Result<Vec<StagedEvent>> {
    let scope = DeliveryScope::current();
    events
        .iter()
        .map(|event| {
            Ok(StagedEvent {
                envelope: envelope(event, scope.as_deref())?,
                topic: options.topic.unwrap_or(E::TOPIC).to_owned(),
                service: service.to_owned(),
                max_retries: options.retries,
                kind: EventKind::Event,
                created_at: now,
            })
        })
        .collect()
}

fn envelope<E: TrackedEvent>(event: &E, scope: Option<&DeliveryScope>) -> Result<Envelope> {
    // Counted even when the event brings its own id, so that the ids of its neighbours do not depend on it.
    let derived = scope.map(DeliveryScope::next_id);
    let event_id = event.event_id().or(derived).unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let inherited = || scope.and_then(|scope| scope.correlation_id().map(str::to_owned));
    Ok(Envelope {
        id_source: IdSource::Publisher,
        event_type: Some(E::EVENT_TYPE.to_owned()),
        payload: Some(codec::encode(event)?),
        key: event.event_key(),
        content_type: Some(JSON.to_owned()),
        correlation_id: event.correlation_id().or_else(inherited),
        causation_id: scope.map(|scope| scope.event_id().to_owned()),
        traceparent: scope.and_then(|scope| scope.traceparent().map(str::to_owned)),
        headers: Vec::new(),
        event_id,
    })
}

/// Whether a publishing function found a transaction open on its connection, or one was opened around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum StageScope {
    /// The caller's transaction: the caller commits.
    Joined,
    /// Ours: committed with the events, or rolled back with them.
    Opened,
}

/// A connection that a `#[tracked_publish]` function can take: `Tx`, or any asynchronous Diesel connection to a
/// database of this build.
#[diagnostic::on_unimplemented(
    message = "events cannot be staged on `{Self}`",
    label = "use `&mut Tx<'_>` or a Diesel connection to a database whose feature is on",
    note = "an `async` function needs an asynchronous connection, any other a synchronous one"
)]
pub trait AsyncStage: Send {
    /// Opens a transaction unless one is open.
    fn begin(&mut self) -> impl Future<Output = Result<StageScope, diesel::result::Error>> + Send;

    /// Inserts rows.
    fn insert(&mut self, events: &[StagedEvent]) -> impl Future<Output = Result<(), diesel::result::Error>> + Send;

    /// Ends a transaction that [`begin`](AsyncStage::begin) opened.
    fn end(
        &mut self,
        scope: StageScope,
        ending: Ending,
    ) -> impl Future<Output = Result<(), diesel::result::Error>> + Send;
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its effects.
    Commit,
    /// Without a trace.
    Rollback,
}

/// A synchronous connection that a `#[tracked_publish]` function can take.
#[diagnostic::on_unimplemented(
    message = "events cannot be staged on `{Self}`",
    label = "use a Diesel connection to a database whose feature is on",
    note = "an `async` function needs an asynchronous connection, any other a synchronous one"
)]
pub trait SyncStage {
    /// Opens a transaction unless one is open.
    ///
    /// # Errors
    /// When the database refuses.
    fn begin(&mut self) -> Result<StageScope, diesel::result::Error>;

    /// Inserts rows.
    ///
    /// # Errors
    /// When the database refuses.
    fn insert(&mut self, events: &[StagedEvent]) -> Result<(), diesel::result::Error>;

    /// Ends a transaction that [`begin`](SyncStage::begin) opened.
    ///
    /// # Errors
    /// When the database refuses; then nothing was committed.
    fn end(&mut self, scope: StageScope, ending: Ending) -> Result<(), diesel::result::Error>;
}
