//! What the library counts, as Prometheus would read it.

use std::sync::LazyLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::Database;

static METER: LazyLock<PrometheusHandle> =
    LazyLock::new(|| PrometheusBuilder::new().install_recorder().expect("the only recorder of the process"));

/// Makes sure that the process counts. Handles that were looked up before count nothing.
pub(crate) fn install() {
    LazyLock::force(&METER);
}

/// The sum of a metric over the listeners of a database's services.
pub fn counted(db: &Database, metric: &str) -> f64 {
    counted_as(db, metric, "")
}

/// The same, of one label's value.
pub fn counted_as(db: &Database, metric: &str, value: &str) -> f64 {
    let group = format!("\"{}\"", db.service_name());
    let text = METER.render();
    let lines = text.lines().filter(|line| {
        line.strip_prefix(metric).is_some_and(|rest| rest.starts_with('{'))
            && line.contains(&group)
            && line.contains(value)
    });
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}
