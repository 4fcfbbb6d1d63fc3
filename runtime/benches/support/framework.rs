//! The library, as a service runs it: default configuration, the embedded broker.

use std::time::{Duration, Instant};

use tracked_events::{Config, Handle, Tracked, listen::ListenerDeclaration};

use super::{
    args::Mode,
    listeners::{self, SERVICE},
    rig::{Result, Rig},
};

/// Between two looks at the record, once it should be complete.
const POLL: Duration = Duration::from_millis(5);

/// From the start of consumption until the last event is PROCESSED.
pub(crate) async fn consume(rig: &dyn Rig, url: &str, mode: Mode, events: usize) -> Result<Duration> {
    listeners::expect(events);
    let handle = start(url, listeners::of(mode)).await?;
    let began = Instant::now();
    listeners::all_handled().await;
    while rig.progress(url).await?.open_claims > 0 {
        tokio::time::sleep(POLL).await;
    }
    let took = began.elapsed();
    handle.drain().await?;
    Ok(took)
}

/// From the start of the relay until the last event is PUBLISHED.
pub(crate) async fn publish(rig: &dyn Rig, url: &str, events: usize) -> Result<Duration> {
    let handle = start(url, listeners::idle()).await?;
    let began = Instant::now();
    while rig.progress(url).await?.published < i64::try_from(events)? {
        tokio::time::sleep(POLL).await;
    }
    let took = began.elapsed();
    handle.drain().await?;
    Ok(took)
}

async fn start(url: &str, listeners: Vec<&'static ListenerDeclaration>) -> Result<Handle> {
    let mut config = Config::new(SERVICE);
    config.database_url = url.to_owned();
    Ok(Tracked::builder(SERVICE).config(config).listeners(listeners).start().await?)
}
