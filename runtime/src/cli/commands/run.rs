//! `run`: the service itself.

use std::net::SocketAddr;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{exit::Exit, service::Service},
    config::redacted_url,
    error::{BoxError, chain},
    http::{self, Bound},
    telemetry::Exporter,
};

/// Consumes and publishes events until SIGTERM or Ctrl-C, then drains; a second signal ends it at once.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = "Example:\n  TRACKED_DATABASE_URL=postgres://app@db/booking SERVICE run")]
pub(crate) struct RunArgs {
    /// Serve health and metrics here [default: `TRACKED_DASHBOARD_BIND`, else `127.0.0.1:8080`]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_dashboard")]
    dashboard_bind: Option<SocketAddr>,
    /// Serve no health and metrics
    #[arg(long)]
    no_dashboard: bool,
}

impl RunArgs {
    fn bind(&self, service: &Service) -> Option<SocketAddr> {
        match self.no_dashboard {
            true => None,
            false => self.dashboard_bind.or(service.config().dashboard_bind),
        }
    }
}

pub(crate) async fn run(args: RunArgs, service: &Service) -> Result<Exit, BoxError> {
    // Taken first: a service that cannot be watched should not start, and the recorder must be there before its users.
    let bound = match args.bind(service) {
        Some(address) => Some((http::bind(address).await?, Exporter::install())),
        None => None,
    };
    let handle = service.start().await?;
    let config = service.config();
    tracing::info!(
        service = config.service,
        database = redacted_url(&config.database_url),
        broker = redacted_url(&config.broker_url),
        listeners = handle.status().listeners.len(),
        "running"
    );
    let stop = CancellationToken::new();
    let server = match bound {
        Some((bound, exporter)) => {
            tracing::info!("health and metrics on http://{}", bound.address()?);
            Some(tokio::spawn(serve(bound, exporter, handle.clone(), stop.clone())))
        }
        None => None,
    };
    let ended = handle.run_until_signal().await;
    stop.cancel();
    if let Some(server) = server {
        // It logs its own errors, and a drain that went well is not spoiled by them.
        let _ = server.await;
    }
    ended?;
    tracing::info!("stopped");
    Ok(Exit::Done)
}

async fn serve(bound: Bound, exporter: Option<Exporter>, handle: crate::Handle, stop: CancellationToken) {
    if let Err(error) = bound.serve(handle, exporter, stop).await {
        tracing::error!(error = chain(&error), "health and metrics are no longer served");
    }
}
