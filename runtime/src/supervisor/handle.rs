//! A running service.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::instance::Instance;
use crate::{
    broker::Broker,
    clock::Clock,
    config::Config,
    error::{Error, ErrorKind, Result, chain},
    listen::Group,
    publish::Publisher,
    store::{Backlog, SharedStore},
};

/// A running service: publish, watch, drain. Cheap to clone; dropping it stops nothing.
#[derive(Clone)]
pub struct Handle(Arc<Running>);

pub(super) struct Running {
    pub(super) groups: Vec<Arc<Group>>,
    pub(super) store: SharedStore,
    pub(super) clock: Clock,
    pub(super) config: Config,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) instance: Arc<Instance>,
    pub(super) publisher: Publisher,
    pub(super) tasks: TaskTracker,
    pub(super) stopping: CancellationToken,
    pub(super) draining: CancellationToken,
}

/// What the process has in its hands.
#[derive(Clone, Debug, Serialize)]
pub struct RuntimeStatus {
    /// The instance's id.
    pub instance: String,
    /// Its listeners.
    pub listeners: Vec<ListenerStatus>,
}

/// What a listener has in its hands.
#[derive(Clone, Debug, Serialize)]
pub struct ListenerStatus {
    /// The consumer group.
    pub group: String,
    /// The listener.
    pub name: String,
    /// Events in its handler.
    pub running: usize,
    /// Events that wait in memory.
    pub waiting: usize,
    /// Whether an operator paused it.
    pub paused: bool,
}

/// The longest wait between two looks for whether a service is idle.
const IDLE_POLL: Duration = Duration::from_millis(50);

impl Handle {
    pub(super) fn new(running: Running) -> Self {
        Self(Arc::new(running))
    }

    pub(super) fn running(&self) -> &Running {
        &self.0
    }

    /// Publishes from anywhere in the service.
    #[must_use]
    pub fn publisher(&self) -> &Publisher {
        &self.0.publisher
    }

    /// The service's store.
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.0.store
    }

    /// The service's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The service's configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The service's broker.
    #[must_use]
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.0.broker
    }

    /// What the process has in its hands.
    #[must_use]
    pub fn status(&self) -> RuntimeStatus {
        let runners = self.0.groups.iter().flat_map(|group| &group.runners);
        let listeners = runners.map(|runner| {
            let lanes = runner.lanes();
            ListenerStatus {
                group: runner.listener.group.clone(),
                name: runner.listener.name.clone(),
                running: lanes.running(),
                waiting: lanes.waiting(),
                paused: !runner.is_open(),
            }
        });
        RuntimeStatus { instance: self.0.instance.id.clone(), listeners: listeners.collect() }
    }

    /// Resolves when a drain begins. Cancel safe.
    pub async fn shutdown_requested(&self) {
        tokio::select! {
            () = self.0.draining.cancelled() => {}
            () = self.0.instance.fenced.cancelled() => {}
        }
    }

    /// Resolves when nothing is staged, unread, running or waiting for a retry. Cancel safe.
    ///
    /// Rows for review do not count, nor do events of a broker other than the embedded one that were not read yet.
    ///
    /// # Errors
    /// When the service stops before it is idle.
    pub async fn idle(&self) -> Result<()> {
        self.quiet(Backlog::is_empty).await
    }

    /// Resolves when nothing more can happen until the clock moves on: [`idle`](Handle::idle), but for what waits for a
    /// later due time.
    #[cfg(feature = "testing")]
    pub(crate) async fn settled(&self) -> Result<()> {
        let clock = self.0.clock.clone();
        self.quiet(move |backlog| backlog.waits_until_after(clock.now())).await
    }

    async fn quiet(&self, is_quiet: impl Fn(&Backlog) -> bool) -> Result<()> {
        let mut wait = Duration::from_millis(1);
        loop {
            if self.0.stopping.is_cancelled() || self.0.instance.fenced.is_cancelled() {
                return Err(Error::new(ErrorKind::ShuttingDown, "the service stopped before it was idle"));
            }
            let in_hand = || self.0.groups.iter().map(|group| group.in_memory()).sum::<usize>();
            // The record is read between two looks at memory: what moves from one to the other is seen in one of them.
            if in_hand() == 0 {
                match self.backlog_of_open_listeners().await {
                    Ok(backlog) if is_quiet(&backlog) && in_hand() == 0 => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.is_retryable() => {}
                    Err(error) => return Err(error),
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(IDLE_POLL);
        }
    }

    /// What is open, without what waits for a listener that an operator paused.
    async fn backlog_of_open_listeners(&self) -> Result<Backlog> {
        let mut backlog = self.0.store.backlog().await?;
        backlog.listeners.retain(|open| {
            let mut runners = self.0.groups.iter().flat_map(|group| &group.runners);
            runners.all(|runner| {
                let same = runner.listener.name == open.handler_name && runner.listener.group == open.consumer_group;
                !same || runner.is_open()
            })
        });
        Ok(backlog)
    }

    /// Stops: no more intake, handlers that run come to their end, the rest is handed back, leases are freed.
    ///
    /// # Errors
    /// When handlers did not end within the drain timeout; their events are rescued by another instance, or by the next
    /// start.
    pub async fn drain(&self) -> Result<()> {
        self.0.draining.cancel();
        for group in &self.0.groups {
            group.stopping.cancel();
        }
        let handlers_ended = tokio::time::timeout(self.0.config.drain_timeout, self.handlers_end()).await;
        failpoint!("drain.handlers_ended");
        self.0.stopping.cancel();
        if handlers_ended.is_err() {
            return Err(Error::new(
                ErrorKind::ShuttingDown,
                format!(
                    "handlers did not end within `drain_timeout` of {}; their events will be rescued",
                    humantime::format_duration(self.0.config.drain_timeout)
                ),
            ));
        }
        if let Err(error) = self.0.instance.leave().await {
            tracing::warn!(error = chain(&error), "the instance did not take leave; its leases end by themselves");
        }
        Ok(())
    }

    async fn handlers_end(&self) {
        for group in &self.0.groups {
            group.tasks.close();
            group.tasks.wait().await;
            while group.in_memory() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Runs until SIGTERM, Ctrl-C or a fence, then drains; a second signal ends the process at once.
    ///
    /// # Errors
    /// What [`drain`](Handle::drain) returns; or that this instance was fenced.
    pub async fn run_until_signal(&self) -> Result<()> {
        tokio::select! {
            signal = signal() => signal?,
            () = self.0.instance.fenced.cancelled() => {
                return Err(Error::new(ErrorKind::StaleClaim, "another instance of the same name has taken over; this one stops"));
            }
        }
        tracing::info!("draining; a second signal ends the process at once");
        tokio::select! {
            drained = self.drain() => drained,
            _ = signal() => Err(Error::new(ErrorKind::ShuttingDown, "ended by a second signal; what was under way will be rescued")),
        }
    }
}

/// Waits for SIGTERM or Ctrl-C.
async fn signal() -> Result<()> {
    let failed = |error: std::io::Error| Error::new(ErrorKind::Config, "signals cannot be received").caused_by(error);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            pressed = tokio::signal::ctrl_c() => pressed.map_err(failed),
        }
    }
    #[cfg(not(unix))]
    {
        tokio::signal::ctrl_c().await.map_err(failed)
    }
}
