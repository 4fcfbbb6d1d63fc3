//! Publishing from code that has no connection at hand.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{
    DeliveryScope, nudge,
    stage::{PublishOptions, staged},
};
use crate::{
    clock::{Clock, Timestamp},
    error::{Error, ErrorKind, Result},
    event::{Publishable, TrackedEvent},
    store::{OpenTransaction, SharedStore, StagedEvent},
};

/// Publishes events, each staged in the service's database before anything is sent. Cheap to clone.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    store: SharedStore,
    service: String,
    clock: Clock,
}

impl Publisher {
    pub(crate) fn new(store: SharedStore, service: impl Into<String>, clock: Clock) -> Self {
        Self(Arc::new(Inner { store, service: service.into(), clock }))
    }

    /// Stages one event in a transaction of its own; when this returns, it will reach the broker.
    ///
    /// # Errors
    /// When the event cannot be encoded or the database refuses; or, on SQLite, in a transactional handler, which has the
    /// only writer. Then nothing is published.
    pub async fn publish<E: TrackedEvent>(&self, event: &E) -> Result<()> {
        self.publish_with(event, &PublishOptions::DEFAULT).await
    }

    /// Stages an event, an `Option` or `Vec` of one, or a [`Published`](crate::Published): all or none.
    ///
    /// # Errors
    /// When an event cannot be encoded or the database refuses; then nothing is published.
    pub async fn publish_with<P: Publishable>(&self, events: &P, options: &PublishOptions) -> Result<()> {
        self.stage_alone(staged(events.events(), options, self.service(), self.now())?).await
    }

    /// Stages rows in a transaction of their own.
    pub(crate) async fn stage_alone(&self, rows: Vec<StagedEvent>) -> Result<()> {
        if !rows.is_empty() {
            self.check_writer()?;
            let store = Arc::clone(&self.0.store);
            run_to_the_end(async move { store.stage_alone(rows).await }).await?;
            nudge::staged();
        }
        Ok(())
    }

    /// Where one transaction at a time can write, a handler that has it would wait for itself.
    fn check_writer(&self) -> Result<()> {
        let scope = DeliveryScope::current().filter(|_| self.0.store.backend().has_one_writer());
        let Some(listener) = scope.as_deref().and_then(DeliveryScope::transactional_listener) else { return Ok(()) };
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "the handler of `{listener}` has the database's only write transaction, and a `Publisher` would wait \
                 for its end; publish on the handler's own connection, with `#[tracked_publish]`"
            ),
        ))
    }

    /// The service that its events are published by.
    pub(crate) fn service(&self) -> &str {
        &self.0.service
    }

    /// The time of the service's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Opens a transaction: write on [`PublisherTransaction::tx`], publish, then commit.
    ///
    /// # Errors
    /// When no connection can be had; or, where there is one writer, in a transactional handler: it has that one.
    pub async fn begin(&self) -> Result<PublisherTransaction> {
        self.check_writer()?;
        let open = self.0.store.begin().await?;
        Ok(PublisherTransaction { open, publisher: self.clone() })
    }
}

/// A transaction of the service's own, in which events can be published.
pub struct PublisherTransaction {
    open: Box<dyn OpenTransaction>,
    publisher: Publisher,
}

impl PublisherTransaction {
    /// The connection to write on.
    pub fn tx(&mut self) -> crate::Tx<'_> {
        self.open.tx()
    }

    /// Stages events in this transaction.
    ///
    /// # Errors
    /// When an event cannot be encoded or the database refuses.
    pub async fn publish<P: Publishable>(&mut self, events: &P) -> Result<()> {
        let inner = &self.publisher.0;
        let staged = staged(events.events(), &PublishOptions::DEFAULT, &inner.service, inner.clock.now())?;
        let store = Arc::clone(&inner.store);
        store.stage(&mut self.open.tx(), &staged).await?;
        failpoint!("publish.staged");
        Ok(())
    }

    /// Commits, and wakes the relay.
    ///
    /// # Errors
    /// When the commit failed; then nothing is published.
    pub async fn commit(self) -> Result<()> {
        self.open.commit().await?;
        failpoint!("publish.committed");
        nudge::staged();
        Ok(())
    }

    /// Rolls back: nothing was written, nothing is published.
    ///
    /// # Errors
    /// When the database is gone; the transaction is rolled back all the same.
    pub async fn rollback(self) -> Result<()> {
        self.open.rollback().await
    }
}

/// Runs an operation of the store to its end even when the caller goes away: a transaction is never left open.
pub(crate) async fn run_to_the_end<T: Send + 'static>(
    operation: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    result_of(&mut tokio::spawn(operation)).await
}

/// Waits for an operation that is run to its end. Cancel safe.
pub(crate) async fn result_of<T>(operation: &mut JoinHandle<Result<T>>) -> Result<T> {
    match operation.await {
        Ok(result) => result,
        Err(stopped) if stopped.is_panic() => std::panic::resume_unwind(stopped.into_panic()),
        Err(_) => Err(Error::new(crate::ErrorKind::ShuttingDown, "the runtime is shutting down")),
    }
}
