//! A service on a test's database.

use std::{collections::BTreeMap, time::Duration};

use tracked_events::{
    BoxError, Clock, Config, Handle, ListenerOverride, Result, Setup, Tracked, listen::ListenerDeclaration,
};

use crate::{Database, logs, meter};

type Provide = Box<dyn FnOnce(&mut Setup) + Send>;

/// A service that has not started yet. All services of a database are instances of one service.
#[must_use = "nothing runs until `start` is called"]
pub struct Service {
    config: Config,
    clock: Clock,
    listeners: Vec<&'static ListenerDeclaration>,
    states: Vec<Provide>,
}

impl Database {
    /// The name of the services on this database, and so of their consumer group.
    pub fn service_name(&self) -> String {
        format!("service-{}", self.id())
    }

    /// A service with these listeners.
    pub fn service(&self, listeners: Vec<&'static ListenerDeclaration>) -> Service {
        let mut config = Config::new(&self.service_name());
        config.database_url = self.url().to_owned();
        config.poll_interval = Duration::from_millis(100);
        config.max_connections = 8;
        config.dashboard_bind = None;
        Service { config, clock: Clock::system(), listeners, states: Vec::new() }
    }
}

impl Service {
    /// Provides what handlers take as `State`.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.push(Box::new(move |app| app.state(state)));
        self
    }

    /// Names the instance.
    pub fn instance(mut self, name: &str) -> Self {
        self.config.instance = Some(name.to_owned());
        self
    }

    /// Takes the time from a clock that the test moves.
    pub fn clock(self, clock: &Clock) -> Self {
        Self { clock: clock.clone(), ..self }
    }

    /// Changes the configuration.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes one listener's options, as `[listener.NAME]` does.
    pub fn listener(mut self, name: &str, change: impl FnOnce(&mut ListenerOverride)) -> Self {
        let listeners: &mut BTreeMap<_, _> = &mut self.config.listeners;
        change(listeners.entry(name.to_owned()).or_default());
        self
    }

    /// Starts it; it must.
    pub async fn start(self) -> Handle {
        self.try_start().await.expect("the service starts")
    }

    /// Starts it.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn try_start(self) -> Result<Handle> {
        meter::install();
        logs::install();
        let states = self.states;
        let setup = move |app: &mut Setup| {
            states.into_iter().for_each(|provide| provide(app));
            std::future::ready(Ok::<(), BoxError>(()))
        };
        Tracked::builder(self.config.service.clone())
            .config(self.config)
            .clock(self.clock)
            .listeners(self.listeners)
            .setup(setup)
            .start()
            .await
    }
}
