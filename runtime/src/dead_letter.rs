//! Dead letters: what goes to the dead-letter topic when an event has failed for the last time.
//!
//! The payload's bytes are the original's, unchanged; what is known about the failure travels in headers. The letter
//! is staged in the transaction that writes FAILED_MAX_RETRY, and published by the relay like any other event.

use crate::{
    clock::Timestamp,
    envelope::{Envelope, Header, IdSource},
    listen::Listener,
    store::{Delivery, EventKind, StagedEvent},
};

/// How often publishing a dead letter is tried again before it is left for review.
const PUBLISH_RETRIES: u32 = 10;

/// The longest error text that travels in a header, in bytes.
const MAX_ERROR_BYTES: usize = 2000;

/// Who could not handle an event, and where its dead letter goes.
pub(crate) struct Refusal<'a> {
    pub(crate) service: &'a str,
    pub(crate) group: &'a str,
    pub(crate) topic: String,
    /// How many attempts there were.
    pub(crate) attempts: u32,
    pub(crate) error: &'a str,
}

/// The dead letter of a delivery whose attempt `attempt` ended with `error`.
pub(crate) fn dead_letter(
    delivery: &Delivery,
    listener: &Listener,
    service: &str,
    attempt: u32,
    error: &str,
    now: Timestamp,
) -> StagedEvent {
    let topic = listener.options.dead_letter.replace("{topic}", &delivery.topic);
    letter(delivery, Refusal { service, group: &listener.group, topic, attempts: attempt, error }, now)
}

/// The dead letter of a delivery.
pub(crate) fn letter(delivery: &Delivery, refusal: Refusal<'_>, now: Timestamp) -> StagedEvent {
    let original = &delivery.envelope;
    let mut headers = original.headers.clone();
    let mut add = |name: &str, value: String| headers.push(Header::new(name, value));
    add("dl-topic", delivery.topic.clone());
    if let Some(partition) = delivery.partition {
        add("dl-partition", partition.to_string());
    }
    if let Some(offset) = delivery.offset {
        add("dl-offset", offset.to_string());
    }
    add("dl-event-id", original.event_id.clone());
    add("dl-group", refusal.group.to_owned());
    add("dl-listener", delivery.listener.clone());
    add("dl-attempts", refusal.attempts.to_string());
    add("dl-error", truncated(refusal.error, MAX_ERROR_BYTES).to_owned());
    StagedEvent {
        envelope: Envelope {
            event_id: format!("dl:{}:{}:{}", delivery.listener, original.event_id, delivery.redrive_count),
            id_source: IdSource::Publisher,
            causation_id: Some(original.event_id.clone()),
            headers,
            ..(**original).clone()
        },
        topic: refusal.topic,
        service: refusal.service.to_owned(),
        max_retries: PUBLISH_RETRIES,
        kind: EventKind::DeadLetter,
        created_at: now,
    }
}

/// The beginning of `text` in at most `max` bytes, cut between characters.
pub(crate) fn truncated(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
