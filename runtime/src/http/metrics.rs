//! Metrics for Prometheus; the gauges of open work are read from the database when asked for.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

use crate::{
    error::chain,
    store::SharedStore,
    telemetry::{BacklogGauges, Exporter},
};

/// How old the gauges of open work may be: several scrapers ask the database once.
const AGE: Duration = Duration::from_secs(2);
/// How long the database may take; then the gauges stay as they are.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Renders metrics.
pub(super) struct Metrics {
    store: SharedStore,
    exporter: Option<Exporter>,
    gauges: BacklogGauges,
    read_at: Mutex<Option<Instant>>,
}

impl Metrics {
    pub(super) fn new(store: SharedStore, exporter: Option<Exporter>) -> Self {
        Self { store, exporter, gauges: BacklogGauges::default(), read_at: Mutex::new(None) }
    }

    /// The text; `None` when the process has another recorder.
    pub(super) async fn render(&self) -> Option<String> {
        let exporter = self.exporter.as_ref()?;
        self.read_backlog().await;
        Some(exporter.render())
    }

    async fn read_backlog(&self) {
        let mut read_at = self.read_at.lock().await;
        if read_at.is_some_and(|at| at.elapsed() < AGE) {
            return;
        }
        match tokio::time::timeout(TIMEOUT, self.store.backlog()).await {
            Ok(Ok(backlog)) => self.gauges.record(&backlog),
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "the backlog cannot be read; its gauges are old"),
            Err(_) => tracing::warn!("the backlog cannot be read in time; its gauges are old"),
        }
        *read_at = Some(Instant::now());
    }
}
