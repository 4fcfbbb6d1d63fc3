//! Apache Kafka.
//!
//! A subscription has a thread of its own, `poll_thread`, which keeps the membership of the group alive whatever the
//! consumer does: it polls, answers rebalances, stores offsets, pauses and resumes, and it alone touches the client.
//! It meets the consumer's task in a bounded `mailbox`. A producer is one life of an idempotent client; see
//! `producer` for how a key's order survives a refusal.

mod batch;
mod beginning;
mod config;
mod consumer;
mod flow;
mod headers;
mod mailbox;
mod poll_thread;
mod producer;
mod rebalance;
mod refusal;
mod topics;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;

use self::{config::Config, consumer::KafkaSubscription, producer::KafkaProducer};
use crate::{
    broker::{Broker, Outlet, Ownership, SubscribeRequest, Subscription},
    error::{Error, ErrorKind, Result},
};

/// A Kafka cluster.
pub struct Kafka {
    config: Config,
    producer: Arc<KafkaProducer>,
}

impl Kafka {
    /// The cluster of a URL such as `kafka://one:9092,two:9092?security.protocol=plaintext`.
    ///
    /// Options are librdkafka's own; with the prefix `consumer.` or `producer.` they go to one side only. Nothing is
    /// connected to yet.
    ///
    /// # Errors
    /// Every problem of the URL, at once.
    pub fn open(url: &str) -> Result<Self> {
        let config = Config::from_url(url)?;
        let producer = Arc::new(KafkaProducer::new(&config)?);
        Ok(Self { config, producer })
    }
}

#[async_trait]
impl Broker for Kafka {
    fn system(&self) -> &'static str {
        "kafka"
    }

    fn outlet(&self) -> Outlet {
        Outlet::Producer(self.producer.clone())
    }

    fn ownership(&self) -> Ownership {
        Ownership::Partitions
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<Box<dyn Subscription>> {
        let subscription = KafkaSubscription::join(&self.config, &request)?;
        Ok(Box::new(subscription))
    }

    async fn ensure_topics(&self, topics: &[String]) -> Result<()> {
        topics::ensure(&self.config, topics).await
    }

    async fn check(&self) -> Result<String> {
        topics::check(&self.config).await
    }
}

fn broker_error(message: impl Into<String>, source: impl Into<crate::BoxError>) -> Error {
    Error::new(ErrorKind::Broker, message).caused_by(source)
}
