//! What the macros' expansions call. Not for people: it changes without notice.

#![allow(missing_docs)]

pub use std;

pub use inventory;

use diesel::result::Error as DieselError;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    BoxError, EventContext, FromDelivery, FromSyncTx, FromTx, HandlerError, SyncTx, TrackedEvent, Tx, codec,
    connection::Backend,
};
pub use crate::{
    cli::{MainBuilder, NoCommand},
    event::DeclaredEvent,
    listen::{
        Handle, HandlerFuture, ListenerDeclaration, ListenerOptions, Location, OnDeadLetter, Order, Registered,
        Requirement, Start,
    },
    publish::{AsyncStage, Ending, PublishOptions, StageScope, SyncStage, returns, service_name},
    retry::Backoff,
};

#[cfg(feature = "failpoints")]
pub use crate::failpoint::passed;

type Identify = fn(&[u8]) -> Option<String>;

/// What the library knows of an event's type.
///
/// Each of these is asked for through one function, so that a type that does not fit is reported once.
pub struct Payload<E> {
    pub topic: &'static str,
    pub event_type: &'static str,
    pub redacted: &'static [&'static str],
    pub identify: Option<Identify>,
    decode: fn(&EventContext) -> Result<E, HandlerError>,
}

/// What the library knows of an event's type.
#[must_use]
pub const fn payload<E: TrackedEvent>() -> Payload<E> {
    Payload {
        topic: E::TOPIC,
        event_type: E::EVENT_TYPE,
        redacted: E::REDACTED,
        identify: if E::HAS_ID { Some(identify::<E>) } else { None },
        decode: |context| codec::decode(context.envelope()),
    }
}

impl<E> Payload<E> {
    /// Decodes the event in a handler's hands.
    ///
    /// # Errors
    /// An `invalid` verdict.
    pub fn decode(&self, context: &EventContext) -> Result<E, HandlerError> {
        (self.decode)(context)
    }
}

/// Reads the id out of a payload whose message brings none.
fn identify<E: TrackedEvent>(payload: &[u8]) -> Option<String> {
    serde_json::from_slice::<E>(payload).ok()?.event_id()
}

/// A parameter of a handler.
pub struct Parameter<P> {
    extract: fn(&EventContext) -> Result<P, HandlerError>,
    requirement: fn() -> Option<Requirement>,
}

/// A parameter of a handler.
#[must_use]
pub const fn parameter<P: FromDelivery>() -> Parameter<P> {
    Parameter { extract: P::from_delivery, requirement: P::requirement }
}

impl<P> Parameter<P> {
    /// Makes it for one attempt.
    ///
    /// # Errors
    /// The parameter's own verdict.
    pub fn extract(&self, context: &EventContext) -> Result<P, HandlerError> {
        (self.extract)(context)
    }

    /// What set-up has to provide for it.
    #[must_use]
    pub fn requirement(&self) -> Option<Requirement> {
        (self.requirement)()
    }
}

/// What all the parameters of a handler need from set-up.
#[must_use]
pub fn requirements<const N: usize>(parameters: [Option<Requirement>; N]) -> Vec<Requirement> {
    parameters.into_iter().flatten().collect()
}

/// The connection of a transactional handler.
pub struct Connection<'c, C: ?Sized> {
    pub backend: Option<Backend>,
    take: for<'a> fn(&'a mut Tx<'c>) -> Result<&'a mut C, HandlerError>,
}

/// The connection of a transactional handler.
#[must_use]
pub const fn connection<'c, C: FromTx<'c> + ?Sized>() -> Connection<'c, C> {
    Connection { backend: C::BACKEND, take: C::from_tx }
}

impl<'c, C: ?Sized> Connection<'c, C> {
    /// Takes it out of the transaction.
    ///
    /// # Errors
    /// When the service runs on another database.
    pub fn take<'a>(&self, tx: &'a mut Tx<'c>) -> Result<&'a mut C, HandlerError> {
        (self.take)(tx)
    }
}

/// The connection of a blocking transactional handler.
pub struct SyncConnection<C: ?Sized> {
    pub backend: Option<Backend>,
    take: for<'a, 'c> fn(&'a mut SyncTx<'c>) -> Result<&'a mut C, HandlerError>,
}

/// The connection of a blocking transactional handler.
#[must_use]
pub const fn sync_connection<C: FromSyncTx + ?Sized>() -> SyncConnection<C> {
    SyncConnection { backend: C::BACKEND, take: |tx| C::from_tx(tx) }
}

impl<C: ?Sized> SyncConnection<C> {
    /// Takes it out of the transaction.
    ///
    /// # Errors
    /// When the service runs on another database.
    pub fn take<'a>(&self, tx: &'a mut SyncTx<'_>) -> Result<&'a mut C, HandlerError> {
        (self.take)(tx)
    }
}

/// What a handler or a validation may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whether the listener succeeded",
    label = "return `Result<(), E>`; `E` may be any error, `anyhow::Error`, a `String` or `HandlerError`"
)]
pub trait Outcome {
    /// Success, or the error.
    ///
    /// # Errors
    /// The error.
    fn into_result(self) -> Result<(), BoxError>;
}

impl<E: Into<BoxError>> Outcome for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(E::into)
    }
}

/// What a handler's result says about its event.
///
/// # Errors
/// The verdict in the handler's error.
pub fn outcome<O: Outcome>(outcome: O) -> Result<(), HandlerError> {
    outcome.into_result().map_err(HandlerError::from_box)
}

/// What `validate = path` says about an event: its error makes the event INVALID.
///
/// # Errors
/// An `invalid` verdict with the validation's error.
pub fn validated<O: Outcome>(outcome: O) -> Result<(), HandlerError> {
    outcome.into_result().map_err(HandlerError::invalid)
}

/// The handler's future; named for the error message that one which is not `Send` gets.
pub fn handler_must_be_send<F: Future + Send>(handler: F) -> impl Future<Output = F::Output> + Send {
    handler
}

/// What `listeners![…]` finds beside a function whose attribute has mistakes.
pub const STAND_IN: &ListenerDeclaration = &ListenerDeclaration {
    name: "",
    topics: &[],
    group: None,
    event_type: "",
    options: ListenerOptions::DEFAULT,
    handle: Handle::Blocking(|_| Ok(())),
    identify: None,
    redacted: &[],
    requires: Vec::new,
    location: Location { module: module_path!(), file: file!(), line: line!() },
};

/// What a type with parameters would have to be, to be an event.
pub trait Payloadable: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Payloadable for T {}

/// The connection that a publishing function stages on.
pub fn stage<C: AsyncStage>(connection: &mut C) -> &mut (impl AsyncStage + use<C>) {
    connection
}

/// The synchronous connection that a publishing function stages on.
pub fn sync_stage<C: SyncStage>(connection: &mut C) -> &mut dyn SyncStage {
    connection
}

/// Opens a transaction around a publishing function, unless one is open.
///
/// # Errors
/// When the database refuses.
pub async fn begin<C: AsyncStage>(connection: &mut C) -> Result<StageScope, DieselError> {
    connection.begin().await
}

/// [`begin`] for a synchronous connection.
///
/// # Errors
/// When the database refuses.
pub fn begin_blocking(connection: &mut dyn SyncStage) -> Result<StageScope, DieselError> {
    connection.begin()
}
