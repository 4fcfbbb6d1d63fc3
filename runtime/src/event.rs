//! What an event is, to the library.
//!
//! `#[derive(TrackedEvent)]` implements [`TrackedEvent`] on a payload; everything else here is what its fields and
//! the return values of `#[tracked_publish]` functions may be.

use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// The payload of an event.
///
/// Derive it: the derive checks names and roles at compile time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "this type does not derive `TrackedEvent`",
    note = "add `#[derive(serde::Serialize, serde::Deserialize, tracked_events::TrackedEvent)]` to it"
)]
pub trait TrackedEvent: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The type's name on the wire and in the record, such as `BOOKING_CONFIRMED`.
    const EVENT_TYPE: &'static str;
    /// The topic it is published to.
    const TOPIC: &'static str;
    /// The version of its schema.
    const VERSION: u32;
    /// Serialized names of top-level fields that no log line, span or page may show.
    const REDACTED: &'static [&'static str] = &[];
    /// Whether a field holds the event's id.
    const HAS_ID: bool = false;

    /// The id in the field marked `id`, if there is one.
    fn event_id(&self) -> Option<String> {
        None
    }

    /// The message key in the field marked `key`, if there is one: ordering and partition.
    fn event_key(&self) -> Option<Vec<u8>> {
        None
    }

    /// The correlation id in the field marked `correlation_id`, if there is one.
    fn correlation_id(&self) -> Option<String> {
        None
    }
}

/// An event type that is linked into the program. The derive writes one for each.
pub struct DeclaredEvent {
    /// The type's name.
    pub event_type: &'static str,
    /// Serialized names of top-level fields that no log line, span or page may show.
    pub redacted: &'static [&'static str],
}

inventory::collect!(DeclaredEvent);

/// Every event type that is linked into the program, consumed or published.
pub(crate) fn declared_events() -> impl Iterator<Item = &'static DeclaredEvent> {
    inventory::iter::<DeclaredEvent>.into_iter()
}

/// A field that can be an event's id or correlation id: text, integers, [`Uuid`], and `Option` of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an event's id or correlation id",
    label = "use a `String`, an integer, a `Uuid`, or an `Option` of one"
)]
pub trait IdField {
    /// The id as text; `None` leaves the library to make one.
    fn to_id(&self) -> Option<String>;
}

/// A field that can be a message key: text, bytes, integers, [`Uuid`], and `Option` of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a message key",
    label = "use a `String`, bytes, an integer, a `Uuid`, or an `Option` of one"
)]
pub trait KeyField {
    /// The key's bytes; `None` publishes without a key.
    fn to_key(&self) -> Option<Vec<u8>>;
}

macro_rules! fields_by_display {
    ($($ty:ty),* $(,)?) => {$(
        impl IdField for $ty {
            fn to_id(&self) -> Option<String> {
                Some(self.to_string())
            }
        }

        impl KeyField for $ty {
            fn to_key(&self) -> Option<Vec<u8>> {
                Some(self.to_string().into_bytes())
            }
        }
    )*};
}

fields_by_display!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, String, Uuid);

impl KeyField for Vec<u8> {
    fn to_key(&self) -> Option<Vec<u8>> {
        Some(self.clone())
    }
}

impl<T: IdField> IdField for Option<T> {
    fn to_id(&self) -> Option<String> {
        self.as_ref().and_then(T::to_id)
    }
}

impl<T: KeyField> KeyField for Option<T> {
    fn to_key(&self) -> Option<Vec<u8>> {
        self.as_ref().and_then(T::to_key)
    }
}

/// A value and the events that go with it, for a `#[tracked_publish]` function that returns both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published<T, E> {
    /// What the caller gets beside the events.
    pub value: T,
    /// An event, or an `Option` or `Vec` of one.
    pub events: E,
}

impl<T, E> Published<T, E> {
    /// `value`, and the `events` to stage with it.
    pub fn new(value: T, events: E) -> Self {
        Self { value, events }
    }
}

/// What a `#[tracked_publish]` function may return in `Ok`: an event, `Option` or `Vec` of it, or [`Published`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be published",
    label = "return an event, an `Option` or `Vec` of one, or `Published<T, E>`",
    note = "an event is a type with `#[derive(TrackedEvent)]`"
)]
pub trait Publishable {
    /// The type of its events.
    type Event: TrackedEvent;

    /// Its events, in the order in which they are staged.
    fn events(&self) -> &[Self::Event];
}

impl<E: TrackedEvent> Publishable for E {
    type Event = E;

    fn events(&self) -> &[E] {
        std::slice::from_ref(self)
    }
}

impl<E: TrackedEvent> Publishable for Option<E> {
    type Event = E;

    fn events(&self) -> &[E] {
        self.as_slice()
    }
}

impl<E: TrackedEvent> Publishable for Vec<E> {
    type Event = E;

    fn events(&self) -> &[E] {
        self
    }
}

impl<T, P: Publishable> Publishable for Published<T, P> {
    type Event = P::Event;

    fn events(&self) -> &[P::Event] {
        self.events.events()
    }
}
