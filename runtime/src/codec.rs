//! Payloads to bytes and back.
//!
//! JSON, by serde. Decoding never overflows the stack: `serde_json` refuses documents deeper than 128 levels.

use crate::{
    envelope::Envelope,
    error::{Error, ErrorKind, HandlerError, Result},
    event::TrackedEvent,
};

/// Encodes an event's payload.
///
/// # Errors
/// [`ErrorKind::Codec`] when the payload's `Serialize` fails, as it does for a map whose keys are not text.
pub(crate) fn encode<E: TrackedEvent>(event: &E) -> Result<Vec<u8>> {
    serde_json::to_vec(event).map_err(|error| {
        let message = format!("the payload of event type `{}` cannot be encoded as JSON", E::EVENT_TYPE);
        Error::new(ErrorKind::Codec, message).caused_by(error)
    })
}

/// Decodes the payload of a delivery.
///
/// # Errors
/// An `invalid` verdict that says what was expected and where the payload departs from it.
pub(crate) fn decode<E: TrackedEvent>(envelope: &Envelope) -> Result<E, HandlerError> {
    let Some(payload) = envelope.payload.as_deref() else {
        return Err(HandlerError::invalid(format!(
            "the message has no payload (a tombstone); event type `{}` needs a JSON document",
            E::EVENT_TYPE
        )));
    };
    serde_json::from_slice(payload)
        .map_err(|error| HandlerError::invalid(format!("the payload is not a valid `{}`: {error}", E::EVENT_TYPE)))
}
