//! Events whose processes died while they handled them.

use crate::{
    clock::Timestamp,
    dead_letter::{Refusal, letter},
    store::{Delivery, StagedEvent},
};

/// Why an event that was abandoned `times` is given up.
pub(super) fn reason(times: u32) -> String {
    format!("the process died {times} times while handling it; fix the handler, then retry it from review")
}

/// Its dead letter, for the topic that listeners have by default: which one its listener names, only its process knew.
pub(super) fn dead_letter(delivery: &Delivery, group: &str, service: &str, error: &str, now: Timestamp) -> StagedEvent {
    let topic = format!("{}.dlq", delivery.topic);
    let attempts = delivery.retry_count.saturating_add(delivery.abandoned_count);
    letter(delivery, Refusal { service, group, topic, attempts, error }, now)
}
