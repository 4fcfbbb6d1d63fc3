//! Whether the service can do its work now.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Handle,
    error::{Error, ErrorKind, Result, chain},
    stores::migrations,
};

/// How long a check may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a schema that was right counts as right.
const SCHEMA_AGE: Duration = Duration::from_secs(60);

/// Answers for readiness.
pub(super) struct Health {
    handle: Handle,
    draining: CancellationToken,
    schema_was_right: Mutex<Option<Instant>>,
}

/// All that was checked.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) ready: bool,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

impl Health {
    pub(super) fn new(handle: Handle) -> Self {
        let draining = CancellationToken::new();
        let (watched, drain) = (handle.clone(), draining.clone());
        tokio::spawn(async move {
            watched.shutdown_requested().await;
            drain.cancel();
        });
        Self { handle, draining, schema_was_right: Mutex::new(None) }
    }

    pub(super) async fn report(&self) -> Report {
        let checks = vec![
            check("database", self.database().await),
            check("schema", self.schema().await),
            check("broker", in_time(async { self.handle.broker().check().await }).await),
            check("consumers", self.consumers()),
        ];
        Report { ready: checks.iter().all(|check| check.ok), checks }
    }

    async fn database(&self) -> Result<String> {
        let store = Arc::clone(self.handle.store());
        let name = store.backend().name();
        in_time(async { store.now().await }).await.map(|_| name.to_owned())
    }

    async fn schema(&self) -> Result<String> {
        let mut was_right = self.schema_was_right.lock().await;
        if was_right.is_none_or(|at| at.elapsed() > SCHEMA_AGE) {
            *was_right = None;
            let url = self.handle.config().database_url.clone();
            in_time(async { migrations::check(&url).await }).await?.require_current()?;
            *was_right = Some(Instant::now());
        }
        Ok("up to date".to_owned())
    }

    fn consumers(&self) -> Result<String> {
        if self.draining.is_cancelled() {
            return Err(Error::new(ErrorKind::ShuttingDown, "the service is draining"));
        }
        let listeners = self.handle.status().listeners;
        let paused = listeners.iter().filter(|listener| listener.paused).count();
        Ok(format!("{} listeners, {paused} of them paused", listeners.len()))
    }
}

fn check(name: &'static str, result: Result<String>) -> Check {
    match result {
        Ok(detail) => Check { name, ok: true, detail },
        Err(error) => Check { name, ok: false, detail: chain(&error) },
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Error::new(ErrorKind::StoreUnavailable, "no answer within two seconds");
    tokio::time::timeout(TIMEOUT, answer).await.map_err(late)?
}
