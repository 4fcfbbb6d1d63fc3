//! Health and metrics over HTTP, on `dashboard_bind`.
//!
//! `/health/live` says that the process answers, `/health/ready` that it can do its work, `/metrics` is for Prometheus.

mod health;
mod metrics;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::{health::Health, metrics::Metrics};
use crate::{
    Handle,
    error::{Error, ErrorKind, Result},
    telemetry::Exporter,
};

/// The socket, taken before anything else starts.
pub(crate) struct Bound(TcpListener);

/// Takes the address that `dashboard_bind` names.
///
/// # Errors
/// When the address cannot be had; the message names the setting.
pub(crate) async fn bind(address: SocketAddr) -> Result<Bound> {
    TcpListener::bind(address).await.map(Bound).map_err(|error| {
        let problem = format!(
            "health and metrics cannot be served on `{address}`; set `dashboard_bind` (`TRACKED_DASHBOARD_BIND`) to another \
             address, or to `off`"
        );
        Error::new(ErrorKind::Config, problem).caused_by(error)
    })
}

impl Bound {
    /// The address.
    ///
    /// # Errors
    /// When the system does not say.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        let unknown =
            |error| Error::new(ErrorKind::Config, "the address of the dashboard is not known").caused_by(error);
        self.0.local_addr().map_err(unknown)
    }

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// When the socket is lost.
    pub(crate) async fn serve(
        self,
        handle: Handle,
        exporter: Option<Exporter>,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let upkeep = exporter.clone().map(|exporter| tokio::spawn(exporter.upkeep()));
        let pages = Arc::new(Pages {
            health: Health::new(handle.clone()),
            metrics: Metrics::new(Arc::clone(handle.store()), exporter),
        });
        let app = Router::new()
            .route("/health/live", get(live))
            .route("/health/ready", get(ready))
            .route("/metrics", get(prometheus))
            .with_state(pages);
        let served = axum::serve(self.0, app).with_graceful_shutdown(shutdown.cancelled_owned()).await;
        if let Some(upkeep) = upkeep {
            upkeep.abort();
        }
        served.map_err(|error| Error::new(ErrorKind::Config, "the dashboard stopped").caused_by(error))
    }
}

struct Pages {
    health: Health,
    metrics: Metrics,
}

async fn live() -> Response {
    axum::Json(serde_json::json!({ "live": true })).into_response()
}

async fn ready(State(pages): State<Arc<Pages>>) -> Response {
    let report = pages.health.report().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(report)).into_response()
}

async fn prometheus(State(pages): State<Arc<Pages>>) -> Response {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    match pages.metrics.render().await {
        Some(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        None => {
            let problem = "the program has a metrics recorder of its own; ask that one\n";
            (StatusCode::NOT_FOUND, problem).into_response()
        }
    }
}
