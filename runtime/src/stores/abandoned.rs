//! Events whose processes died while they handled them.

use crate::{
    dead_letter::{Refusal, letter},
    listen::ListenerOptions,
    store::{Delivery, RescueRequest, StagedEvent},
};

/// Why an event that was abandoned `times` is given up.
pub(super) fn reason(times: u32) -> String {
    format!("the process died {times} times while handling it; fix the handler, then retry it from review")
}

/// Its dead letter.
pub(super) fn dead_letter(delivery: &Delivery, group: &str, service: &str, request: &RescueRequest) -> StagedEvent {
    let topics = &request.dead_letters;
    let known = topics.get(&(group.to_owned(), delivery.listener.clone()));
    let template = known.map_or(&*ListenerOptions::DEFAULT.dead_letter, String::as_str);
    let topic = template.replace("{topic}", &delivery.topic);
    let attempts = delivery.retry_count.saturating_add(delivery.abandoned_count);
    let error = reason(delivery.abandoned_count);
    letter(delivery, Refusal { service, group, topic, attempts, error: &error }, request.now)
}
