//! What a service provides before it starts.

use std::{future::Future, pin::Pin};

use serde::de::DeserializeOwned;

use super::Handle;
use crate::{
    config::Config,
    error::{BoxError, ConfigError},
    listen::States,
    store::SharedStore,
};

/// Given to the service's set-up function, before the first event is taken.
pub struct Setup {
    config: Config,
    store: SharedStore,
    pub(super) states: States,
    pub(super) tasks: Vec<Task>,
}

/// A task of the service's own, to run beside the runtime.
pub(super) struct Task {
    pub(super) name: String,
    pub(super) start: Box<dyn FnOnce(Handle) -> TaskFuture + Send>,
}

type TaskFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

impl Setup {
    pub(super) fn new(config: Config, store: SharedStore) -> Self {
        Self { config, store, states: States::default(), tasks: Vec::new() }
    }

    /// The service's configuration.
    #[must_use]
    pub fn settings(&self) -> &Config {
        &self.config
    }

    /// The service's database, for what the service itself has to prepare there.
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// Reads `[app.SECTION]` of the configuration into a type of the service's own.
    ///
    /// # Errors
    /// What is missing or wrong in the section, and where it was written.
    pub fn config<T: DeserializeOwned>(&self, section: &str) -> Result<T, ConfigError> {
        self.config.app_section(section)
    }

    /// Provides something for handlers' `State<T>` parameters, in place of an earlier one of its type.
    pub fn state<T: Clone + Send + Sync + 'static>(&mut self, state: T) {
        self.states.insert(state);
    }

    /// Runs a task beside the runtime, from when it has started. A task that fails is logged, and the rest goes on; on
    /// shutdown it sees [`Handle::shutdown_requested`].
    pub fn task<F, Fut, E>(&mut self, name: impl Into<String>, start: F)
    where
        F: FnOnce(Handle) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let start = move |handle| -> TaskFuture {
            let task = start(handle);
            Box::pin(async move { task.await.map_err(Into::into) })
        };
        self.tasks.push(Task { name: name.into(), start: Box::new(start) });
    }
}
