//! The service, as its own commands see it.

use super::{output::Output, record::Redaction, setup::SetupHook};
use crate::{
    Handle, Tracked,
    clock::Clock,
    config::Config,
    error::Result,
    listen::{ListenerDeclaration, registered},
    store::SharedStore,
    stores::{self, StoreOptions},
};

/// A service with its configuration, before it is started. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    config: Config,
    setup: SetupHook,
    output: Output,
}

impl Service {
    pub(super) fn new(config: Config, setup: SetupHook, output: Output) -> Self {
        Self { config, setup, output }
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The form in which `--json` asks commands to print.
    #[must_use]
    pub fn output(&self) -> Output {
        self.output
    }

    /// Starts the service as `run` does: migrates if allowed, calls the set-up function, consumes, relays, maintains.
    /// Health and metrics are served by `run` only.
    ///
    /// # Errors
    /// Everything that is wrong with configuration and wiring, at once; or why the database or the broker cannot be
    /// used.
    pub async fn start(&self) -> Result<Handle> {
        let builder = Tracked::builder(&self.config.service).config(self.config.clone()).setup(self.setup.clone());
        Box::pin(builder.start()).await
    }

    /// Opens the service's database, without starting anything.
    ///
    /// # Errors
    /// When it cannot be reached, or its tables are not those that this version needs.
    pub async fn store(&self) -> Result<SharedStore> {
        stores::migrations::check(&self.config.database_url).await?.require_current()?;
        stores::open(&StoreOptions {
            url: self.config.database_url.clone(),
            max_connections: self.config.max_connections,
            clock: Clock::system(),
        })
        .await
    }

    /// The service's set-up function.
    pub(super) fn setup_hook(&self) -> SetupHook {
        self.setup.clone()
    }

    /// The program's listeners.
    pub(super) fn listeners(&self) -> Vec<&'static ListenerDeclaration> {
        registered()
    }

    /// The consumer group of a listener.
    pub(super) fn group_of<'a>(&'a self, declaration: &ListenerDeclaration) -> &'a str {
        declaration.group.unwrap_or(&self.config.service)
    }

    /// What nobody may see.
    pub(super) fn redaction(&self) -> Redaction {
        Redaction::of_program()
    }
}
