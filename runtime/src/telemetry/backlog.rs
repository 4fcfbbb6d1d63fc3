//! Gauges of open work, set from what the store counts.

use std::{collections::HashSet, sync::Mutex};

use metrics::gauge;

use super::{catalogue::label, metric};
use crate::store::Backlog;

/// A gauge with its labels.
type Reading = (&'static str, Vec<(&'static str, String)>);

/// The gauges of open work, and which of them were ever set: what is no longer in the backlog reads zero.
#[derive(Default)]
pub(crate) struct BacklogGauges {
    set: Mutex<HashSet<Reading>>,
}

impl BacklogGauges {
    /// Sets the gauges.
    pub(crate) fn record(&self, backlog: &Backlog) {
        let readings = readings(backlog);
        let Ok(mut set) = self.set.lock() else { return };
        let present: HashSet<_> = readings.iter().map(|(reading, _)| reading.clone()).collect();
        for (name, labels) in set.difference(&present) {
            gauge!(*name, labels).set(0.0);
        }
        for ((name, labels), value) in readings {
            gauge!(name, &labels).set(value);
        }
        set.extend(present);
    }
}

fn readings(backlog: &Backlog) -> Vec<(Reading, f64)> {
    let pending = backlog.outbox_pending.saturating_sub(backlog.outbox_failed);
    let outbox = [("pending", pending), ("failed", backlog.outbox_failed), ("review", backlog.outbox_review)];
    let outbox = outbox.map(|(state, rows)| ((metric::OUTBOX_BACKLOG, vec![(label::STATE, state.to_owned())]), rows));
    let listeners = backlog.listeners.iter().flat_map(|listener| {
        let states = [
            ("waiting", listener.waiting),
            ("held", listener.held),
            ("due", listener.due),
            ("claimed", listener.claimed),
            ("review", listener.review),
        ];
        states.map(|(state, rows)| {
            let labels = vec![
                (label::GROUP, listener.consumer_group.clone()),
                (label::LISTENER, listener.handler_name.clone()),
                (label::STATE, state.to_owned()),
            ];
            ((metric::BACKLOG, labels), rows)
        })
    });
    let lag = backlog.embedded_lag.iter().map(|group| {
        let labels = vec![(label::GROUP, group.consumer_group.clone()), (label::TOPIC, group.topic.clone())];
        ((metric::LAG, labels), group.lag)
    });
    outbox.into_iter().chain(listeners).chain(lag).map(|(reading, rows)| (reading, as_gauge(rows))).collect()
}

/// A number of rows as a gauge takes it; exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "no table has that many rows")]
fn as_gauge(rows: i64) -> f64 {
    rows as f64
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::store::ListenerBacklog;

    #[test]
    fn what_is_no_longer_open_reads_zero() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let gauges = BacklogGauges::default();
        let waiting =
            ListenerBacklog { consumer_group: "g".into(), handler_name: "l".into(), waiting: 7, ..Default::default() };
        let line = |rows| format!("tracked_events_backlog{{group=\"g\",listener=\"l\",state=\"waiting\"}} {rows}\n");
        metrics::with_local_recorder(&recorder, || {
            gauges.record(&Backlog { listeners: vec![waiting], ..Backlog::default() });
            assert!(recorder.handle().render().contains(&line(7)));
            gauges.record(&Backlog::default());
            assert!(recorder.handle().render().contains(&line(0)));
        });
    }
}
