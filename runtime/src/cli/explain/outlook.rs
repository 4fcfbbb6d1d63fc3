//! One plain sentence about where an event stands with a listener, and what happens next.

use std::time::Duration;

use super::Life;
use crate::{
    cli::output::{counted, instant, span},
    clock::Timestamp,
    store::{ConsumptionRecord, ConsumptionStatus, InboxState, OpenWork, ProductionRecord, ProductionStatus},
};

/// An instance that was silent for this long is not counted on. For people: leases decide by other means.
const SILENT: Duration = Duration::from_secs(30);

/// Where a published row stands.
pub(super) fn of_published(record: &ProductionRecord) -> String {
    let topic = &record.topic;
    match record.status {
        ProductionStatus::Pending => format!("staged for `{topic}`; the relay takes it next"),
        ProductionStatus::Publishing => format!("handed to the broker for `{topic}`, not acknowledged yet"),
        ProductionStatus::Published => format!("published to `{topic}`"),
        ProductionStatus::Failed => {
            format!("not published to `{topic}` yet: waits for retry {} of {}", record.retry_count, record.max_retries)
        }
        ProductionStatus::FailedMaxRetry => {
            format!("not published to `{topic}`, given up; `outbox retry {}` tries again", record.id)
        }
        ProductionStatus::Discarded => format!("never published to `{topic}`: an operator discarded it"),
    }
}

/// Where a consumed row stands.
pub(super) fn of_consumed(record: &ConsumptionRecord, life: &Life) -> String {
    let id = record.id;
    let attempts = life.attempts_at(id).len();
    match record.status {
        ConsumptionStatus::Processed => processed(record, attempts),
        ConsumptionStatus::Processing => {
            let since = record.updated_at.unwrap_or(record.received_at);
            format!("runs now: attempt {}, claimed {}{}", attempts + 1, ago(life.now, since), nobody_home(life))
        }
        ConsumptionStatus::Received | ConsumptionStatus::Failed => waiting(record, life),
        ConsumptionStatus::FailedMaxRetry => format!(
            "failed for good after {}; it waits for an operator: `dlq retry {id}` or `dlq discard {id}`",
            counted(attempts, "attempt")
        ),
        ConsumptionStatus::Invalid => {
            format!(
                "invalid, kept and never run; it waits for an operator: `dlq show {id}`, `dlq retry {id}` or `dlq discard {id}`"
            )
        }
        ConsumptionStatus::NoHandler => {
            "nobody in the group wants it; when a listener for it is added, it is run when it is delivered again"
                .to_owned()
        }
        ConsumptionStatus::Duplicate => "seen before, so it was not run again; nothing more happens".to_owned(),
        ConsumptionStatus::Discarded => "discarded by an operator; nothing more happens".to_owned(),
    }
}

fn processed(record: &ConsumptionRecord, attempts: usize) -> String {
    let at = record.processed_at.map(|at| format!(" at {}", instant(at))).unwrap_or_default();
    match attempts {
        0 | 1 => format!("handled{at}; nothing more happens"),
        _ => format!("handled{at}, after {}; nothing more happens", counted(attempts, "attempt")),
    }
}

fn waiting(record: &ConsumptionRecord, life: &Life) -> String {
    if life.paused.contains(&(record.consumer_group.clone(), record.handler_name.clone())) {
        let name = &record.handler_name;
        return format!("waits: an operator paused the listener; `listeners resume {name}` lets it go on");
    }
    let open = life.open.get(&record.id);
    let sentence = match (record.status, open.map(|open| open.state)) {
        (_, Some(InboxState::Held)) => "waits for the earlier events of its key".to_owned(),
        (_, Some(InboxState::Review)) => {
            format!("waits for an operator: `dlq retry {0}` or `dlq discard {0}`", record.id)
        }
        (_, Some(InboxState::Claimed)) => "was just taken by a worker".to_owned(),
        (ConsumptionStatus::Failed, _) => {
            format!("waits for retry {} of {}, {}", record.retry_count, record.max_retries, due(open, life.now))
        }
        (_, Some(_)) if open.is_some_and(|open| open.due_at > life.now) => {
            format!("waits to be run again, {}", due(open, life.now))
        }
        _ => "waits for a worker".to_owned(),
    };
    sentence + nobody_home(life)
}

fn due(open: Option<&OpenWork>, now: Timestamp) -> String {
    match open {
        Some(open) if open.due_at > now => format!("due in {}", span(open.due_at.since(now))),
        Some(open) => format!("due since {}", span(now.since(open.due_at))),
        None => "due now".to_owned(),
    }
}

fn ago(now: Timestamp, then: Timestamp) -> String {
    format!("{} ago", span(now.since(then)))
}

/// Work that waits needs somebody to do it.
fn nobody_home(life: &Life) -> &'static str {
    let alive = life.instances.iter().any(|instance| life.now.since(instance.last_beat_at) < SILENT);
    if alive { "" } else { "; no instance of the service is running now, start one with `run`" }
}
