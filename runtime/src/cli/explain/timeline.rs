//! What happened to an event, in its order.

use std::time::Duration;

use serde::Serialize;

use super::Life;
use crate::{
    cli::output::span,
    clock::Timestamp,
    store::{
        ActionRecord, AttemptRecord, AttemptStatus, ConsumptionRecord, ConsumptionStatus, ProductionRecord,
        ProductionStatus,
    },
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Moment {
    /// When.
    pub(crate) at: Timestamp,
    /// What, in a word or two.
    pub(crate) what: String,
    /// To whom: a topic, a listener.
    pub(crate) who: String,
    /// More.
    pub(crate) detail: String,
}

fn moment(at: Timestamp, what: impl Into<String>, who: impl Into<String>, detail: impl Into<String>) -> Moment {
    Moment { at, what: what.into(), who: who.into(), detail: detail.into() }
}

/// Everything that happened, oldest first.
pub(super) fn timeline(life: &Life) -> Vec<Moment> {
    let mut moments = Vec::new();
    life.published.iter().for_each(|record| published(record, "staged", &mut moments));
    life.consumed.iter().for_each(|record| consumed(record, life.attempts_at(record.id), &mut moments));
    life.dead_letters.iter().for_each(|record| published(record, "dead letter", &mut moments));
    moments.extend(life.actions.iter().map(action));
    // Stable: what happened at one time stays in the order in which it must have happened.
    moments.sort_by_key(|moment| moment.at);
    moments
}

fn published(record: &ProductionRecord, staged: &str, moments: &mut Vec<Moment>) {
    let ProductionRecord { topic, service_name, retry_count, max_retries, .. } = record;
    moments.push(moment(
        record.created_at,
        staged,
        topic,
        format!("row #{} of the outbox, by {service_name}", record.id),
    ));
    let error = record.error_message.as_deref().unwrap_or("no reason given");
    match (record.status, record.published_at, record.updated_at) {
        (ProductionStatus::Published, Some(at), _) => {
            let place = match (record.partition_number, record.offset) {
                (Some(partition), Some(offset)) => format!("partition {partition}, offset {offset}"),
                _ => "acknowledged".to_owned(),
            };
            let retries = if *retry_count > 0 { format!(", after {retry_count} retries") } else { String::new() };
            moments.push(moment(at, "published", topic, format!("{place}{retries}")));
        }
        (ProductionStatus::Failed, _, Some(at)) => {
            moments.push(moment(
                at,
                "not published",
                topic,
                format!("try {retry_count} of {}: {error}", max_retries + 1),
            ));
        }
        (ProductionStatus::FailedMaxRetry, _, Some(at)) => {
            moments.push(moment(at, "not published", topic, format!("given up: {error}")));
        }
        _ => {}
    }
}

fn consumed(record: &ConsumptionRecord, attempts: &[AttemptRecord], moments: &mut Vec<Moment>) {
    let who = listener(record);
    let row = match record.replay_id.as_str() {
        "" => format!("row #{}, group {}", record.id, record.consumer_group),
        replay => format!("row #{}, group {}, replay {replay}", record.id, record.consumer_group),
    };
    let what = match record.status {
        ConsumptionStatus::Duplicate => "again",
        ConsumptionStatus::NoHandler => "no handler",
        _ => "received",
    };
    moments.push(moment(record.received_at, what, &who, row));
    moments.extend(attempts.iter().map(|attempt| attempted(attempt, &who)));
    let ended_by_attempt = attempts.last().is_some_and(|attempt| attempt.status != AttemptStatus::Interrupted);
    if record.status == ConsumptionStatus::Invalid && !ended_by_attempt {
        let at = record.processed_at.or(record.updated_at).unwrap_or(record.received_at);
        moments.push(moment(at, "invalid", &who, record.error_message.clone().unwrap_or_default()));
    }
}

fn attempted(attempt: &AttemptRecord, who: &str) -> Moment {
    let took = span(millis(attempt.processing_time_ms));
    let error = attempt.error_message.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    let next = attempt.retry_delay_ms.map(|delay| format!("; again after {}", span(millis(delay)))).unwrap_or_default();
    let detail = format!("{} after {took}{error}{next}", attempt.status);
    moment(attempt.completed_at, format!("attempt {}", attempt.attempt_number), who, detail)
}

fn action(action: &ActionRecord) -> Moment {
    let reason = action.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let change = format!(
        "row #{}, {} to {}, by {}{reason}",
        action.target_id, action.status_from, action.status_to, action.operator
    );
    moment(action.created_at, "operator", &action.action, change)
}

/// The listener of a row, or that nobody wanted it.
pub(super) fn listener(record: &ConsumptionRecord) -> String {
    match record.handler_name.as_str() {
        "" => format!("group {}", record.consumer_group),
        name => name.to_owned(),
    }
}

fn millis(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or(0))
}
