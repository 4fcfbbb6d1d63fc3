//! The dead letter of an event whose processes died while they handled it.

use crate::{
    clock::Timestamp,
    envelope::{Envelope, Header, IdSource},
    store::{Delivery, EventKind, StagedEvent},
};

/// How often publishing a dead letter is tried again before it is left for review.
const PUBLISH_RETRIES: u32 = 10;

/// Why an event that was abandoned `times` is given up.
pub(super) fn reason(times: u32) -> String {
    format!("the process died {times} times while handling it; fix the handler, then retry it from review")
}

/// The dead letter of a delivery that is given up, for the topic that listeners have by default.
pub(super) fn letter(delivery: &Delivery, group: &str, service: &str, error: &str, now: Timestamp) -> StagedEvent {
    let original = &delivery.envelope;
    let coordinates = [("dl-partition", delivery.partition.map(i64::from)), ("dl-offset", delivery.offset)]
        .map(|(name, number)| number.map(|number| Header::new(name, number.to_string())));
    let told = [
        ("dl-topic", delivery.topic.clone()),
        ("dl-event-id", original.event_id.clone()),
        ("dl-group", group.to_owned()),
        ("dl-listener", delivery.listener.clone()),
        ("dl-attempts", delivery.retry_count.saturating_add(1).to_string()),
        ("dl-error", error.to_owned()),
    ];
    let told = told.map(|(name, value)| Header::new(name, value));
    let headers = original.headers.iter().cloned().chain(told).chain(coordinates.into_iter().flatten()).collect();
    StagedEvent {
        envelope: Envelope {
            event_id: format!("dl:{}:{}:{}", delivery.listener, original.event_id, delivery.redrive_count),
            id_source: IdSource::Publisher,
            causation_id: Some(original.event_id.clone()),
            headers,
            ..(**original).clone()
        },
        topic: format!("{}.dlq", delivery.topic),
        service: service.to_owned(),
        max_retries: PUBLISH_RETRIES,
        kind: EventKind::DeadLetter,
        created_at: now,
    }
}
