//! What the relay counts.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use super::{catalogue::label, listener::count, metric};

/// Counts for the relay. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RelayMetrics {
    published: Counter,
    retried: Counter,
    gave_up: Counter,
    duration: Histogram,
}

impl RelayMetrics {
    /// Looks up the handles. `system` is the broker's name.
    pub(crate) fn new(system: &'static str) -> Self {
        let failed = |outcome: &'static str| counter!(metric::PUBLISH_FAILED, label::BROKER => system, label::OUTCOME => outcome);
        Self {
            published: counter!(metric::PUBLISHED, label::BROKER => system),
            retried: failed("retry"),
            gave_up: failed("gave_up"),
            duration: histogram!(metric::PUBLISH_DURATION, label::BROKER => system),
        }
    }

    /// Events were acknowledged.
    pub(crate) fn published(&self, events: usize) {
        self.published.increment(count(events));
    }

    /// Events were refused and will be tried again.
    pub(crate) fn retried(&self, events: usize) {
        self.retried.increment(count(events));
    }

    /// Events were refused for the last time.
    pub(crate) fn gave_up(&self, events: usize) {
        self.gave_up.increment(count(events));
    }

    /// A batch went through.
    pub(crate) fn relayed(&self, took: Duration) {
        self.duration.record(took.as_secs_f64());
    }
}
