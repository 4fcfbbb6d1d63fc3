//! Prometheus: a recorder for the process, and its text.

use std::{sync::OnceLock, time::Duration};

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::catalogue::{Kind, METRICS};

/// From half a millisecond to a minute: a quick handler, and one that meets its timeout.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// How often samples are folded into their buckets; between, they take memory.
const UPKEEP: Duration = Duration::from_secs(5);

static INSTALLED: OnceLock<Option<Exporter>> = OnceLock::new();

/// Renders the metrics of the process for Prometheus. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Exporter(PrometheusHandle);

impl Exporter {
    /// Makes Prometheus the recorder of the process, once. `None` when the program has installed another: then that
    /// one has the metrics, and nothing is served here.
    pub(crate) fn install() -> Option<Self> {
        INSTALLED.get_or_init(Self::install_recorder).clone()
    }

    fn install_recorder() -> Option<Self> {
        let matcher = Matcher::Suffix("_seconds".to_owned());
        let builder = match PrometheusBuilder::new().set_buckets_for_metric(matcher, &SECONDS) {
            Ok(builder) => builder,
            Err(error) => {
                tracing::warn!(%error, "the histograms have no buckets");
                PrometheusBuilder::new()
            }
        };
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        describe();
        Some(Self(handle))
    }

    /// The metrics in Prometheus' text format.
    pub(crate) fn render(&self) -> String {
        self.0.render()
    }

    /// Keeps the memory of samples bounded; runs until it is dropped.
    pub(crate) async fn upkeep(self) {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            self.0.run_upkeep();
        }
    }
}

/// Tells the recorder what each metric means.
fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.unit, metric.description),
            Kind::Gauge => describe_gauge!(metric.name, metric.unit, metric.description),
            Kind::Histogram => describe_histogram!(metric.name, metric.unit, metric.description),
        }
    }
}
