//! What a consumer counts, with handles kept for each listener.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::{catalogue::label, metric};
use crate::store::{AttemptStatus, ConsumptionStatus};

/// Counts for one listener. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ListenerMetrics {
    /// One for each topic; the last is of topics that the listener does not declare.
    topics: Vec<(String, ByStatus<{ ConsumptionStatus::ALL.len() }>)>,
    attempts: ByStatus<{ AttemptStatus::ALL.len() }>,
    postponed: Counter,
    retries: Counter,
    dead_letters: Counter,
    duplicates: Counter,
    invalid: Counter,
    duration: Histogram,
    in_flight: Gauge,
    paused: Gauge,
}

/// A counter for each word of a status, in the order of its `ALL`.
type ByStatus<const N: usize> = [Counter; N];

impl ListenerMetrics {
    /// Looks up the handles.
    pub(crate) fn new(group: &str, listener: &str, topics: &[String]) -> Self {
        let labels = || [(label::GROUP, group.to_owned()), (label::LISTENER, listener.to_owned())];
        let consumed = |topic: &str| {
            let of = |status: ConsumptionStatus| {
                let [group, listener] = labels();
                let own = [group, listener, (label::TOPIC, topic.to_owned()), (label::STATUS, status.to_string())];
                counter!(metric::CONSUMED, &own)
            };
            (topic.to_owned(), std::array::from_fn(|index| of(ConsumptionStatus::ALL[index])))
        };
        let attempts = |status: AttemptStatus| {
            let [group, listener] = labels();
            counter!(metric::ATTEMPTS, &[group, listener, (label::STATUS, status.to_string())])
        };
        Self {
            topics: topics.iter().map(String::as_str).chain(["other"]).map(consumed).collect(),
            attempts: std::array::from_fn(|index| attempts(AttemptStatus::ALL[index])),
            postponed: counter!(metric::POSTPONED, &labels()),
            retries: counter!(metric::RETRIES, &labels()),
            dead_letters: counter!(metric::DEAD_LETTERS, &labels()),
            duplicates: counter!(metric::DUPLICATES, &labels()),
            invalid: counter!(metric::INVALID, &labels()),
            duration: histogram!(metric::PROCESSING_DURATION, &labels()),
            in_flight: gauge!(metric::IN_FLIGHT, &labels()),
            paused: gauge!(metric::PAUSED, &labels()),
        }
    }

    /// A handler begins. Every start is followed by one [`attempted`](Self::attempted).
    pub(crate) fn started(&self) {
        self.in_flight.increment(1.0);
    }

    /// A handler that was [`started`](Self::started) has ended.
    pub(crate) fn attempted(&self, status: AttemptStatus, took: Duration) {
        self.in_flight.decrement(1.0);
        self.duration.record(took.as_secs_f64());
        if let Some(counter) = self.attempts.get(status as usize) {
            counter.increment(1);
        }
    }

    /// A delivery was given back without being run.
    pub(crate) fn postponed(&self) {
        self.postponed.increment(1);
    }

    /// An event reached a status, and the record says so.
    pub(crate) fn reached(&self, topic: &str, status: ConsumptionStatus) {
        let declared = self.topics.iter().find(|(own, _)| own == topic).or(self.topics.last());
        if let Some(counter) = declared.and_then(|(_, counters)| counters.get(status as usize)) {
            counter.increment(1);
        }
        match status {
            ConsumptionStatus::Failed => self.retries.increment(1),
            ConsumptionStatus::FailedMaxRetry => self.dead_letters.increment(1),
            ConsumptionStatus::Duplicate => self.duplicates.increment(1),
            ConsumptionStatus::Invalid => self.invalid.increment(1),
            _ => {}
        }
    }

    /// An operator paused the listener, or resumed it.
    pub(crate) fn pause(&self, pause: Pause) {
        self.paused.set(match pause {
            Pause::Paused => 1.0,
            Pause::Running => 0.0,
        });
    }
}

/// Whether a listener takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// An operator paused it.
    Paused,
    /// It runs.
    Running,
}

/// Counts for a consumer group. Cheap to clone.
#[derive(Clone)]
pub(crate) struct GroupMetrics {
    no_handler: Counter,
    unidentified: Counter,
    stale: Counter,
    admit: Histogram,
    settle: Histogram,
}

impl GroupMetrics {
    /// Looks up the handles.
    pub(crate) fn new(group: &str) -> Self {
        let labels = [(label::GROUP, group.to_owned())];
        Self {
            no_handler: counter!(metric::NO_HANDLER, &labels),
            unidentified: counter!(metric::UNIDENTIFIED, &labels),
            stale: counter!(metric::STALE_SETTLEMENTS, &labels),
            admit: histogram!(metric::ADMIT_DURATION, &labels),
            settle: histogram!(metric::SETTLE_DURATION, &labels),
        }
    }

    /// Nobody wanted an event.
    pub(crate) fn no_handler(&self) {
        self.no_handler.increment(1);
    }

    /// An event came without an id, and a second delivery of it cannot be recognised.
    pub(crate) fn unidentified(&self) {
        self.unidentified.increment(1);
    }

    /// Results were discarded because their claim was gone.
    pub(crate) fn stale(&self, rows: usize) {
        self.stale.increment(count(rows));
    }

    /// A batch was admitted.
    pub(crate) fn admitted(&self, took: Duration) {
        self.admit.record(took.as_secs_f64());
    }

    /// A batch was settled.
    pub(crate) fn settled(&self, took: Duration) {
        self.settle.record(took.as_secs_f64());
    }
}

/// Work of a dead instance was taken back. Rare: its handle is not kept.
pub(crate) fn rescued(rows: u32) {
    counter!(metric::RESCUED).increment(u64::from(rows));
}

/// A number of things as a counter takes it.
pub(super) fn count(things: usize) -> u64 {
    u64::try_from(things).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn each_status_is_counted_under_its_own_word() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let metrics = ListenerMetrics::new("g", "send_mail", &["orders".to_owned()]);
            for status in ConsumptionStatus::ALL {
                metrics.reached("orders", *status);
            }
            metrics.reached("elsewhere", ConsumptionStatus::Invalid);
            for status in AttemptStatus::ALL {
                metrics.started();
                metrics.attempted(*status, Duration::from_millis(3));
            }
        });
        let text = recorder.handle().render();
        for status in ConsumptionStatus::ALL {
            let line = format!(
                "tracked_events_consumed_total{{group=\"g\",listener=\"send_mail\",topic=\"orders\",status=\"{status}\"}} 1"
            );
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        for status in AttemptStatus::ALL {
            assert!(text.contains(&format!("listener=\"send_mail\",status=\"{status}\"}} 1")), "{status}\n{text}");
        }
        for line in [
            "tracked_events_invalid_total{group=\"g\",listener=\"send_mail\"} 2",
            "tracked_events_dead_letters_total{group=\"g\",listener=\"send_mail\"} 1",
            "tracked_events_retries_total{group=\"g\",listener=\"send_mail\"} 1",
            "tracked_events_duplicates_total{group=\"g\",listener=\"send_mail\"} 1",
            "tracked_events_in_flight{group=\"g\",listener=\"send_mail\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
