//! Configuration: defaults, then `tracked.toml`, then the environment, then flags.
//!
//! The file is the one that `--config` or `TRACKED_CONFIG` names, else `tracked.toml` in the working directory. In the
//! environment, `database_url` is `TRACKED_DATABASE_URL`, and `timeout` in `[listener.send_mail]` is
//! `TRACKED_LISTENER__SEND_MAIL__TIMEOUT`; an empty variable counts as not set. Everything that is wrong is reported
//! at once, each with the place where it was written.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use crate::error::ConfigError;

mod app;
pub(crate) mod duration;
mod listener;
mod redact;
mod section;
mod sources;
mod validate;

use self::section::{Bind, Section};
pub use self::{
    listener::{BackoffKind, BackoffOverride, ListenerOverride},
    redact::redacted_url,
};
pub(crate) use self::{section::nearest, sources::Sources};

/// How a service runs.
///
/// ```
/// use tracked_events::Config;
///
/// let mut config = Config::new("booking");
/// config.database_url = "postgres://app:s3cret@db/booking".to_owned();
/// assert_eq!(config.broker_url, "embedded:");
/// assert!(!format!("{config:?}").contains("s3cret"));
/// ```
#[derive(Clone)]
pub struct Config {
    /// The service's name: the default consumer group, and the source of its events.
    pub service: String,
    /// A stable name of this instance; `None` is made of host and process id.
    pub instance: Option<String>,
    /// The database: `sqlite:PATH` or `postgres://…`.
    pub database_url: String,
    /// The broker: `embedded:`.
    pub broker_url: String,
    /// How many partitions a new topic of the embedded broker gets.
    pub embedded_partitions: u32,
    /// Whether `run` migrates an empty or older schema.
    pub migrate: bool,
    /// How long an instance may be silent before its work is taken over.
    pub lease: Duration,
    /// How long a drain waits for handlers that run.
    pub drain_timeout: Duration,
    /// How many rows are admitted, settled or relayed in one transaction at most.
    pub batch: u32,
    /// How often work is looked for when nothing says that there is some.
    pub poll_interval: Duration,
    /// How many connections handlers may use, on a database server.
    pub max_connections: u32,
    /// Where health and metrics are served; `None` is nowhere.
    pub dashboard_bind: Option<SocketAddr>,
    /// `[listener.NAME]`: what is changed about listeners.
    pub listeners: BTreeMap<String, ListenerOverride>,
    /// `[app]`: the service's own settings.
    pub app: toml::Table,
    /// Where the values of `[app]` were written.
    origins: HashMap<String, String>,
}

impl Config {
    /// The defaults, whatever the file and the environment say.
    #[must_use]
    pub fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            instance: None,
            database_url: "sqlite:tracked.db".to_owned(),
            broker_url: "embedded:".to_owned(),
            embedded_partitions: 8,
            migrate: true,
            lease: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            batch: 500,
            poll_interval: Duration::from_secs(1),
            max_connections: 20,
            dashboard_bind: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            listeners: BTreeMap::new(),
            app: toml::Table::new(),
            origins: HashMap::new(),
        }
    }

    /// The defaults, changed by `tracked.toml` and then by `TRACKED_*` in the environment.
    ///
    /// # Errors
    /// Everything that is wrong, each with the place where it was written and what would be right.
    pub fn load(service: &str) -> Result<Self, ConfigError> {
        Self::from_sources(service, &Sources::of_process())
    }

    pub(crate) fn from_sources(service: &str, sources: &Sources) -> Result<Self, ConfigError> {
        let mut problems = ConfigError::default();
        let mut config = Self::new(service);
        let values = sources.merged(&mut problems);
        config.read(Section::new("", values, &mut problems));
        problems.into_result().map(|()| config)
    }

    fn read(&mut self, mut section: Section<'_>) {
        section.take_if("service", &mut self.service, no_name);
        section.take_if("instance", &mut self.instance, |name| name.as_ref().and_then(no_name));
        section.take_if("database_url", &mut self.database_url, no_scheme);
        section.take_if("broker_url", &mut self.broker_url, no_scheme);
        section.take_if("embedded_partitions", &mut self.embedded_partitions, |number| {
            (!(1..=1024).contains(number)).then_some("which is not from 1 to 1024")
        });
        section.take("migrate", &mut self.migrate);
        section.take_if("lease", &mut self.lease, |lease| {
            (*lease < Duration::from_secs(1))
                .then_some("which is too short to tell a busy instance from a dead one; make it at least `1s`")
        });
        section.take("drain_timeout", &mut self.drain_timeout);
        section.take_if("batch", &mut self.batch, |number| (*number == 0).then_some("which must be at least 1"));
        section.take_if("poll_interval", &mut self.poll_interval, |interval| {
            interval.is_zero().then_some("which must be longer than zero")
        });
        section.take_if("max_connections", &mut self.max_connections, |number| {
            (*number == 0).then_some("which must be at least 1")
        });
        let mut bind = Bind(self.dashboard_bind);
        section.take("dashboard_bind", &mut bind);
        self.dashboard_bind = bind.0;
        let listeners: BTreeMap<_, _> = section.take_table("listener").into_iter().flatten().collect();
        for (name, value) in listeners {
            let read = ListenerOverride::read(&name, value, section.problems());
            self.listeners.insert(name, read);
        }
        if let Some(app) = section.take_table("app") {
            self.keep_app(app);
        }
        section.finish();
    }
}

#[allow(clippy::ptr_arg, reason = "it is passed where a function of the setting's own type is wanted")]
fn no_name(name: &String) -> Option<&'static str> {
    let right = !name.trim().is_empty() && name.len() <= crate::envelope::MAX_NAME_BYTES;
    (!right).then_some("which must be a name of 1 to 255 bytes")
}

#[allow(clippy::ptr_arg, reason = "it is passed where a function of the setting's own type is wanted")]
fn no_scheme(url: &String) -> Option<&'static str> {
    (!url.contains(':')).then_some(
        "which has no scheme; write one such as `sqlite:tracked.db`, `postgres://user@host/name` or `embedded:`",
    )
}

/// Passwords in the URLs are hidden, and of `[app]` only the sections' names are shown.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("service", &self.service)
            .field("instance", &self.instance)
            .field("database_url", &redacted_url(&self.database_url))
            .field("broker_url", &redacted_url(&self.broker_url))
            .field("embedded_partitions", &self.embedded_partitions)
            .field("migrate", &self.migrate)
            .field("lease", &self.lease)
            .field("drain_timeout", &self.drain_timeout)
            .field("batch", &self.batch)
            .field("poll_interval", &self.poll_interval)
            .field("max_connections", &self.max_connections)
            .field("dashboard_bind", &self.dashboard_bind)
            .field("listeners", &self.listeners)
            .field("app", &self.app.keys().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests;
