//! What the macros' expansions call. Not for people: it changes without notice.

pub use std;

pub use inventory;

use crate::{BoxError, EventContext, FromDelivery, FromSyncTx, FromTx, HandlerError, SyncTx, TrackedEvent, Tx, codec};
pub use crate::{
    listen::{
        Handle, HandlerFuture, ListenerDeclaration, ListenerOptions, Location, OnDeadLetter, Order, Registered,
        Requirement, Start,
    },
    publish::{AsyncStage, StageScope, SyncStage, finish, finish_blocking, finish_with_publisher},
    retry::Backoff,
};

/// Decodes the event in a handler's hands.
///
/// # Errors
/// An `invalid` verdict.
pub fn event<E: TrackedEvent>(context: &EventContext) -> Result<E, HandlerError> {
    codec::decode(context.envelope())
}

/// Makes a parameter of a handler.
///
/// # Errors
/// The parameter's own verdict.
pub fn parameter<P: FromDelivery>(context: &EventContext) -> Result<P, HandlerError> {
    P::from_delivery(context)
}

/// The connection of a transactional handler.
///
/// # Errors
/// When the service runs on another database.
pub fn connection<'a, 'c, C: FromTx<'c> + ?Sized>(tx: &'a mut Tx<'c>) -> Result<&'a mut C, HandlerError> {
    C::from_tx(tx)
}

/// The connection of a blocking transactional handler.
///
/// # Errors
/// When the service runs on another database.
pub fn sync_connection<'a, C: FromSyncTx + ?Sized>(tx: &'a mut SyncTx<'_>) -> Result<&'a mut C, HandlerError> {
    C::from_tx(tx)
}

/// What a handler's result says about its event.
///
/// # Errors
/// The verdict in the handler's error.
pub fn outcome<E: Into<BoxError>>(result: Result<(), E>) -> Result<(), HandlerError> {
    result.map_err(|error| HandlerError::from_box(error.into()))
}

/// What `validate = path` says about an event: its error makes the event INVALID.
///
/// # Errors
/// An `invalid` verdict with the validation's error.
pub fn validated<E: Into<BoxError>>(result: Result<(), E>) -> Result<(), HandlerError> {
    result.map_err(|error| HandlerError::invalid(error))
}

/// Reads the id out of a payload whose message brings none.
#[must_use]
pub fn identify<E: TrackedEvent>(payload: &[u8]) -> Option<String> {
    serde_json::from_slice::<E>(payload).ok()?.event_id()
}
