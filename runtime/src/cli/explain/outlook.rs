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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::store::{AttemptRecord, AttemptStatus, InstanceBeat};

    const NOW: Timestamp = Timestamp::from_micros(100_000_000);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn record(status: ConsumptionStatus, retry_count: i32) -> ConsumptionRecord {
        ConsumptionRecord {
            id: 7,
            event_id: "e".into(),
            service_name: "s".into(),
            topic: "t".into(),
            partition_number: None,
            offset: None,
            consumer_group: "g".into(),
            handler_name: "send_mail".into(),
            event_type: "E".into(),
            event_key: None,
            payload: None,
            status,
            retry_count,
            max_retries: 3,
            processing_time_ms: None,
            error_message: None,
            error_stack_trace: None,
            correlation_id: None,
            causation_id: None,
            headers: None,
            metadata: None,
            replay_id: String::new(),
            redrive_count: 0,
            received_at: at(90),
            processed_at: None,
            updated_at: Some(at(98)),
        }
    }

    fn attempt(number: i32) -> AttemptRecord {
        AttemptRecord {
            consumption_id: 7,
            attempt_number: number,
            handler_name: "send_mail".into(),
            instance_id: "i".into(),
            started_at: at(91),
            completed_at: at(92),
            status: AttemptStatus::Failed,
            error_message: None,
            error_stack_trace: None,
            processing_time_ms: 1_000,
            retry_delay_ms: Some(1_000),
        }
    }

    fn life(open: Option<(InboxState, Timestamp)>, attempts: i32) -> Life {
        let beat = InstanceBeat {
            id: "i".into(),
            name: "i".into(),
            service: "s".into(),
            lease: None,
            beat: 1,
            is_gone: false,
            started_at: at(0),
            last_beat_at: at(99),
        };
        let open = open.map(|(state, due_at)| (7, OpenWork { consumption_id: 7, state, due_at, abandoned_count: 0 }));
        Life {
            event_id: "e".into(),
            published: Vec::new(),
            consumed: Vec::new(),
            attempts: BTreeMap::from([(7, (1..=attempts).map(attempt).collect())]),
            actions: Vec::new(),
            open: open.into_iter().collect(),
            dead_letters: Vec::new(),
            paused: BTreeSet::new(),
            instances: vec![beat],
            now: NOW,
        }
    }

    #[test]
    fn a_retry_says_which_and_when() {
        let due = Timestamp::from_micros(NOW.as_micros() + 3_200_000);
        let waits = of_consumed(&record(ConsumptionStatus::Failed, 2), &life(Some((InboxState::Due, due)), 2));
        assert_eq!(waits, "waits for retry 2 of 3, due in 3.2 s");
        let late = of_consumed(&record(ConsumptionStatus::Failed, 2), &life(Some((InboxState::Due, at(96))), 2));
        assert_eq!(late, "waits for retry 2 of 3, due since 4 s");
    }

    #[test]
    fn what_waits_says_for_what() {
        let received = record(ConsumptionStatus::Received, 0);
        let outlook = |state| of_consumed(&received, &life(Some((state, at(95))), 0));
        assert_eq!(outlook(InboxState::Waiting), "waits for a worker");
        assert_eq!(outlook(InboxState::Held), "waits for the earlier events of its key");
        let mut paused = life(Some((InboxState::Waiting, at(95))), 0);
        paused.paused.insert(("g".into(), "send_mail".into()));
        assert_eq!(
            of_consumed(&received, &paused),
            "waits: an operator paused the listener; `listeners resume send_mail` lets it go on"
        );
    }

    #[test]
    fn work_that_nobody_will_do_says_so() {
        let mut alone = life(Some((InboxState::Waiting, at(95))), 0);
        alone.instances.clear();
        let outlook = of_consumed(&record(ConsumptionStatus::Received, 0), &alone);
        assert_eq!(outlook, "waits for a worker; no instance of the service is running now, start one with `run`");
    }

    #[test]
    fn a_dead_letter_says_what_an_operator_can_do() {
        let outlook = of_consumed(&record(ConsumptionStatus::FailedMaxRetry, 3), &life(None, 4));
        assert_eq!(
            outlook,
            "failed for good after 4 attempts; it waits for an operator: `dlq retry 7` or `dlq discard 7`"
        );
    }
}
