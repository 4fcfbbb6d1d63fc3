//! What a handler can ask about the event in its hands, and the parameters it may take beside it.

use std::{
    any::{Any, TypeId, type_name},
    collections::HashMap,
    ops::Deref,
    sync::Arc,
};

use super::{Listener, registry::Requirement};
use crate::{
    clock::Timestamp,
    envelope::{Envelope, Header},
    error::HandlerError,
    publish::Publisher,
    store::Delivery,
};

/// The event in a handler's hands: its attributes, and where the attempt stands.
pub struct EventContext {
    pub(crate) delivery: Delivery,
    pub(crate) listener: Arc<Listener>,
    pub(crate) publisher: Publisher,
    pub(crate) states: Arc<States>,
}

impl EventContext {
    /// The event's id: the same at every attempt, delivery and redrive.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.envelope().event_id
    }

    /// The event's type, as the record keeps it.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.envelope().event_type.as_deref().unwrap_or_default()
    }

    /// The topic it came from.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.delivery.topic
    }

    /// The partition it came from, on brokers that have them.
    #[must_use]
    pub fn partition(&self) -> Option<i32> {
        self.delivery.partition
    }

    /// Its offset within the partition, on brokers that have them.
    #[must_use]
    pub fn offset(&self) -> Option<i64> {
        self.delivery.offset
    }

    /// The message key.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.envelope().key.as_deref()
    }

    /// The id that ties together everything one request caused.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.envelope().correlation_id.as_deref()
    }

    /// The id of the event that caused this one.
    #[must_use]
    pub fn causation_id(&self) -> Option<&str> {
        self.envelope().causation_id.as_deref()
    }

    /// The headers that are not attributes of the event.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.envelope().headers
    }

    /// The value of a header of text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.envelope().header(name)
    }

    /// The payload's bytes, as they came.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.envelope().payload.as_deref()
    }

    /// Which attempt this is; the first is 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.delivery.retry_count.saturating_add(1)
    }

    /// Whether a failure of this attempt goes to the dead letters.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.delivery.retry_count >= self.listener.options.retries
    }

    /// The replay that runs the event again, if one does.
    #[must_use]
    pub fn replay_id(&self) -> Option<&str> {
        Some(self.delivery.replay_id.as_str()).filter(|id| !id.is_empty())
    }

    /// When the service first received the event.
    #[must_use]
    pub fn received_at(&self) -> Timestamp {
        self.delivery.received_at
    }

    /// The listener's name.
    #[must_use]
    pub fn listener(&self) -> &str {
        &self.listener.name
    }

    /// The consumer group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.listener.group
    }

    /// Publishes from a handler that has no connection, in a transaction of its own.
    #[must_use]
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    pub(crate) fn envelope(&self) -> &Envelope {
        &self.delivery.envelope
    }
}

/// A parameter that a handler may take beside its event.
///
/// Implement it for your own types: read what you need from the context, or say why it is not there.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a listener",
    label = "not the event, `&EventContext`, a `&mut` connection, `State<T>` or another `FromDelivery`",
    note = "implement `tracked_events::FromDelivery` for it, or pass it through `State<T>`"
)]
pub trait FromDelivery: Sized + Send {
    /// Makes the parameter for one attempt.
    ///
    /// # Errors
    /// A verdict on the event; any plain error means "try again".
    fn from_delivery(context: &EventContext) -> Result<Self, HandlerError>;

    /// What set-up has to provide for it, checked before an event is taken.
    #[must_use]
    fn requirement() -> Option<Requirement> {
        None
    }
}

/// Something that set-up provided with `app.state(…)`: a client, a pool, configuration.
#[derive(Clone, Copy, Debug)]
pub struct State<T>(pub T);

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone + Send + Sync + 'static> FromDelivery for State<T> {
    fn from_delivery(context: &EventContext) -> Result<Self, HandlerError> {
        context.states.get::<T>().map(State).ok_or_else(|| {
            let problem = format!("no `State<{0}>` was set up; call `app.state(…)` with a `{0}`", type_name::<T>());
            HandlerError::from_box(problem.into())
        })
    }

    fn requirement() -> Option<Requirement> {
        Some(Requirement { type_name: type_name::<T>(), type_id: TypeId::of::<T>() })
    }
}

/// The publisher as a parameter, for handlers that publish without a connection.
impl FromDelivery for Publisher {
    fn from_delivery(context: &EventContext) -> Result<Self, HandlerError> {
        Ok(context.publisher.clone())
    }
}

/// What set-up provided, by type.
#[derive(Default)]
pub struct States(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl States {
    /// Provides `state`, in place of an earlier one of its type.
    pub fn insert<T: Clone + Send + Sync + 'static>(&mut self, state: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(state));
    }

    /// A clone of what was provided.
    #[must_use]
    pub fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
    }

    /// Whether something of that type was provided.
    #[must_use]
    pub fn contains(&self, type_id: TypeId) -> bool {
        self.0.contains_key(&type_id)
    }
}
