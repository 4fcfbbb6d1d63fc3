//! A service under test.

use std::{path::PathBuf, time::Duration};

use crate::{
    Builder, Clock, Config, Handle, PublishOptions, Publishable, SetupFunction, Timestamp, Tracked,
    envelope::{Envelope, Header},
    error::Result,
    listen::ListenerDeclaration,
    store::{EventKind, StagedEvent},
};

/// Where a harness's clock stands at first: 2020-01-01T00:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_577_836_800_000_000);

/// Listeners of a service, running on a temporary database, with a clock that the test moves.
pub struct Harness {
    pub(super) handle: Handle,
    clock: Clock,
    _database: TemporaryDatabase,
}

/// A harness that has not started yet.
#[must_use = "nothing runs until `start` is called"]
pub struct HarnessBuilder {
    builder: Builder,
    config: Config,
    clock: Clock,
    database: TemporaryDatabase,
}

impl Harness {
    /// Starts listeners that need no set-up.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start(listeners: Vec<&'static ListenerDeclaration>) -> Result<Self> {
        Self::builder(listeners).start().await
    }

    /// A harness for these listeners.
    pub fn builder(listeners: Vec<&'static ListenerDeclaration>) -> HarnessBuilder {
        let database = TemporaryDatabase::new();
        let mut config = Config::new("test");
        config.database_url = database.url();
        config.dashboard_bind = None;
        config.poll_interval = Duration::from_millis(20);
        HarnessBuilder {
            builder: Tracked::builder("test").listeners(listeners),
            config,
            clock: Clock::manual(START),
            database,
        }
    }

    /// Publishes an event, an `Option` or `Vec` of one, or a [`Published`](crate::Published).
    ///
    /// # Errors
    /// As [`Publisher::publish_with`](crate::Publisher::publish_with).
    pub async fn publish<P: Publishable>(&self, events: &P) -> Result<()> {
        self.handle.publisher().publish_with(events, &PublishOptions::DEFAULT).await
    }

    /// Puts a message on a topic as a foreign program might: any bytes, any headers. Its id is in the header `id`, or
    /// made up.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn publish_raw(
        &self,
        topic: &str,
        key: Option<Vec<u8>>,
        payload: Option<Vec<u8>>,
        headers: Vec<Header>,
    ) -> Result<()> {
        let staged = StagedEvent {
            envelope: Envelope::from_wire(key, payload, headers, None),
            topic: topic.to_owned(),
            service: "foreign".to_owned(),
            max_retries: 0,
            kind: EventKind::Event,
            created_at: self.clock.now(),
        };
        self.handle.store().stage_alone(vec![staged]).await
    }

    /// Waits until nothing more can happen before the clock moves on: everything published is handled, and what failed
    /// waits for a retry that is not due yet, or for review.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn run_until_idle(&self) -> Result<()> {
        self.handle.settled().await
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// The present time of the service under test.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The running service.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Stops the service, as a shutdown would.
    ///
    /// # Errors
    /// As [`Handle::drain`].
    pub async fn stop(self) -> Result<()> {
        self.handle.drain().await
    }
}

impl HarnessBuilder {
    /// Calls `setup` before anything starts, as in the service itself.
    pub fn setup<F>(mut self, setup: F) -> Self
    where
        F: for<'a> SetupFunction<'a> + 'static,
    {
        self.builder = self.builder.setup(setup);
        self
    }

    /// Changes the configuration.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts the listeners.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start(self) -> Result<Harness> {
        let handle = self.builder.config(self.config).clock(self.clock.clone()).start().await?;
        Ok(Harness { handle, clock: self.clock, _database: self.database })
    }
}

/// A database file that is removed with its harness.
struct TemporaryDatabase(PathBuf);

impl TemporaryDatabase {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("tracked-events-{}.db", uuid::Uuid::now_v7())))
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.0.display())
    }
}

impl Drop for TemporaryDatabase {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.0.clone().into_os_string();
            path.push(suffix);
            // It may never have been made.
            let _ = std::fs::remove_file(path);
        }
    }
}
