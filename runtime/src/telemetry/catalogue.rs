//! Every metric: its name, what it counts and in which unit.

use metrics::Unit;

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only up.
    Counter,
    /// Up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// A metric.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) description: &'static str,
}

/// Defines the names and the catalogue together, so that no metric is without a description.
macro_rules! catalogue {
    ($($constant:ident = $name:literal, $kind:ident, $unit:ident, $description:literal;)+) => {
        pub(super) mod names {
            $(#[doc = $description] pub const $constant: &str = $name;)+
        }

        /// Every metric of the library.
        pub(super) const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            description: $description,
        },)+];
    };
}

catalogue! {
    PUBLISHED = "tracked_events_published_total", Counter, Count,
        "Events that the broker acknowledged, by broker.";
    PUBLISH_FAILED = "tracked_events_publish_failed_total", Counter, Count,
        "Tries to publish that failed, by broker and outcome: `retry` or `gave_up`.";
    PUBLISH_DURATION = "tracked_events_publish_duration_seconds", Histogram, Seconds,
        "How long the relay took for a batch, from taking the rows to writing the acknowledgements, by broker.";
    CONSUMED = "tracked_events_consumed_total", Counter, Count,
        "Events that reached a status, by group, listener, topic and status; `FAILED` is counted at every retry.";
    ATTEMPTS = "tracked_events_attempts_total", Counter, Count,
        "Attempts of handlers, by group, listener and how they ended.";
    PROCESSING_DURATION = "tracked_events_processing_duration_seconds", Histogram, Seconds,
        "How long handlers took, by group and listener.";
    POSTPONED = "tracked_events_postponed_total", Counter, Count,
        "Deliveries that were given back without being run, because the database was away or busy, by group and listener.";
    RETRIES = "tracked_events_retries_total", Counter, Count,
        "Retries that were scheduled, by group and listener.";
    DEAD_LETTERS = "tracked_events_dead_letters_total", Counter, Count,
        "Events that went to the dead letters, by group and listener.";
    DUPLICATES = "tracked_events_duplicates_total", Counter, Count,
        "Events that were recognised as seen before, by group and listener.";
    INVALID = "tracked_events_invalid_total", Counter, Count,
        "Events that cannot be decoded or fail validation, by group and listener.";
    NO_HANDLER = "tracked_events_no_handler_total", Counter, Count,
        "Events that nobody in the group wants, by group.";
    UNIDENTIFIED = "tracked_events_unidentified_total", Counter, Count,
        "Events that came without an id and cannot be recognised when they come again, by group.";
    STALE_SETTLEMENTS = "tracked_events_stale_settlements_total", Counter, Count,
        "Results of attempts that were discarded because their claim had been taken over, by group.";
    RESCUED = "tracked_events_rescued_total", Counter, Count,
        "Events that were taken back from dead instances.";
    ADMIT_DURATION = "tracked_events_admit_duration_seconds", Histogram, Seconds,
        "How long the admission of a batch took, by group.";
    SETTLE_DURATION = "tracked_events_settle_duration_seconds", Histogram, Seconds,
        "How long the settling of a batch took, by group.";
    IN_FLIGHT = "tracked_events_in_flight", Gauge, Count,
        "Handlers that run now, by group and listener.";
    OUTBOX_BACKLOG = "tracked_events_outbox_backlog", Gauge, Count,
        "Published events that are not with the broker yet, by state: `pending`, `failed` or `review`.";
    BACKLOG = "tracked_events_backlog", Gauge, Count,
        "Consumed events that are open, by group, listener and state: `waiting`, `held`, `due`, `claimed` or `review`.";
    LAG = "tracked_events_lag", Gauge, Count,
        "Events of the embedded broker that a group has not read yet, by group and topic.";
    PAUSED = "tracked_events_listener_paused", Gauge, Count,
        "Whether an operator paused the listener, by group and listener.";
}

/// Names of labels.
pub(super) mod label {
    pub(in crate::telemetry) const BROKER: &str = "broker";
    pub(in crate::telemetry) const GROUP: &str = "group";
    pub(in crate::telemetry) const LISTENER: &str = "listener";
    pub(in crate::telemetry) const OUTCOME: &str = "outcome";
    pub(in crate::telemetry) const STATE: &str = "state";
    pub(in crate::telemetry) const STATUS: &str = "status";
    pub(in crate::telemetry) const TOPIC: &str = "topic";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_prometheus_and_are_used_once() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for Metric { name, kind, description, .. } in METRICS {
            assert!(name.starts_with("tracked_events_"), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(*kind == Kind::Histogram, name.ends_with("_seconds"), "{name}");
            assert!(description.ends_with('.'), "{name}");
        }
    }
}
