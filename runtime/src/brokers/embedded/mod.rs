//! The embedded broker: a durable log in the service's own database, shared by its processes.
//!
//! The production log is the topic; nothing is stored twice. The instances of a group share the partitions of its
//! topics by leases, and a group's position in a partition moves in the transaction that admits its events, guarded by
//! the lease: an instance that lost a partition cannot move it.

mod subscription;

use async_trait::async_trait;

use super::BrokerOptions;
use crate::{
    broker::{Broker, Outlet, Ownership, SubscribeRequest, Subscription},
    error::Result,
};

/// The broker in the service's own database.
pub struct EmbeddedBroker {
    options: BrokerOptions,
}

impl EmbeddedBroker {
    /// A broker in the store of `options`.
    #[must_use]
    pub fn new(options: BrokerOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    fn system(&self) -> &'static str {
        "embedded"
    }

    fn outlet(&self) -> Outlet {
        Outlet::ProductionLog { partitions: self.options.embedded_partitions }
    }

    fn ownership(&self) -> Ownership {
        Ownership::Partitions
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<Box<dyn Subscription>> {
        let subscription = subscription::EmbeddedSubscription::join(&self.options, request).await?;
        Ok(Box::new(subscription))
    }

    async fn ensure_topics(&self, topics: &[String]) -> Result<()> {
        let (store, now) = (&self.options.store, self.options.clock.now());
        store.ensure_topics(topics, self.options.embedded_partitions, now).await.map(|_| ())
    }

    async fn check(&self) -> Result<String> {
        self.options.store.now().await.map(|_| "in the service's database".to_owned())
    }
}
