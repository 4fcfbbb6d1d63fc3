//! What published events inherit from the event that a handler is working on.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use uuid::Uuid;

use crate::{
    listen::Listener,
    store::{Delivery, SharedEnvelope},
};

tokio::task_local! {
    static CURRENT: Arc<DeliveryScope>;
}

/// The namespace of the ids that are derived from a consumed event.
const NAMESPACE: Uuid = Uuid::from_u128(0x7f0a_51c2_4b6e_5d0a_9a33_6d1f_0c8e_2b47);

/// The delivery under whose attempt this task runs.
pub(crate) struct DeliveryScope {
    envelope: SharedEnvelope,
    listener: Arc<Listener>,
    replay_id: String,
    published: AtomicU32,
}

impl DeliveryScope {
    pub(crate) fn new(delivery: &Delivery, listener: &Arc<Listener>) -> Arc<Self> {
        Arc::new(Self {
            envelope: Arc::clone(&delivery.envelope),
            listener: Arc::clone(listener),
            replay_id: delivery.replay_id.clone(),
            published: AtomicU32::new(0),
        })
    }

    /// Runs `future` as the work of this delivery.
    pub(crate) async fn enter<F: Future>(self: Arc<Self>, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// Runs blocking `work` as the work of this delivery.
    pub(crate) fn enter_blocking<R>(self: Arc<Self>, work: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self, work)
    }

    /// The delivery that the calling task works on.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// The id of the next event published here: the same when the attempt is repeated.
    pub(crate) fn next_id(&self) -> String {
        let ordinal = self.published.fetch_add(1, Ordering::Relaxed);
        let parts = [self.event_id(), &self.listener.group, &self.listener.name, &self.replay_id];
        let name = parts.map(|part| part.replace('\\', "\\\\").replace('|', "\\|"));
        let derived = Uuid::new_v5(&NAMESPACE, format!("{}|{ordinal}", name.join("|")).as_bytes());
        guard!("publish.id", derived, without Uuid::new_v4()).to_string()
    }

    /// The id of the event being handled: the cause of what is published.
    pub(crate) fn event_id(&self) -> &str {
        &self.envelope.event_id
    }

    /// The listener at work, if it holds a transaction.
    pub(crate) fn transactional_listener(&self) -> Option<&str> {
        self.listener.handle().is_transactional().then_some(self.listener.name.as_str())
    }

    pub(crate) fn correlation_id(&self) -> Option<&str> {
        self.envelope.correlation_id.as_deref()
    }

    pub(crate) fn traceparent(&self) -> Option<&str> {
        self.envelope.traceparent.as_deref()
    }
}
