//! The embedded broker, in an empty database.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;
use tracked_events::{
    Clock, ErrorKind,
    broker::Position,
    brokers::{BrokerOptions, embedded::EmbeddedBroker},
    envelope::Envelope,
    store::{Lease, OUTBOX_SHARDS, StagedEvent},
};

use crate::{
    Fixture,
    broker::{BrokerFixture, Ground},
    given::{GROUP, ME, NOW, SERVICE, batch, register, staged},
};

/// How many partitions a topic gets that a check does not make itself.
const PARTITIONS: u32 = 4;

/// On SQLite.
#[cfg(feature = "sqlite")]
pub async fn on_sqlite() -> Option<BrokerFixture> {
    Some(on(crate::sqlite::fixture().await?).await)
}

/// On PostgreSQL; `None` without a server.
#[cfg(feature = "postgres")]
pub async fn on_postgres() -> Option<BrokerFixture> {
    Some(on(crate::postgres::fixture().await?).await)
}

/// In the database of a store.
pub async fn on(store: Fixture) -> BrokerFixture {
    let shards: Vec<_> = (0..OUTBOX_SHARDS).map(|shard| format!("outbox/{shard}")).collect();
    let shards = store.acquire(&shards, ME, NOW).await.unwrap();
    let (told, published) = watch::channel(0);
    let options = BrokerOptions {
        url: "embedded:".into(),
        store: Arc::clone(&store.store),
        clock: Clock::system(),
        embedded_partitions: PARTITIONS,
        poll_interval: Duration::from_millis(50),
        published,
    };
    BrokerFixture {
        broker: Arc::new(EmbeddedBroker::new(options)),
        ground: Arc::new(EmbeddedGround { store, shards, told }),
    }
}

/// The database, and its only relay.
struct EmbeddedGround {
    store: Fixture,
    shards: Vec<Lease>,
    told: watch::Sender<u64>,
}

#[async_trait]
impl Ground for EmbeddedGround {
    async fn make_topic(&self, topic: &str, partitions: u32) {
        self.store.ensure_topics(&[topic.to_owned()], partitions, NOW).await.unwrap();
    }

    async fn publish(&self, topic: &str, events: Vec<Envelope>) {
        let count = u32::try_from(events.len()).unwrap();
        let stage = |envelope| StagedEvent { envelope, topic: topic.into(), service: SERVICE.into(), ..staged("") };
        self.store.stage_alone(events.into_iter().map(stage).collect()).await.unwrap();
        let published = self.store.publish_embedded(&self.shards, 10_000, PARTITIONS, NOW).await.unwrap();
        assert_eq!(published, count);
        self.told.send_modify(|told| *told += 1);
    }

    async fn enter(&self, instance: &str) {
        register(&self.store, instance).await;
    }

    async fn admit(&self, instance: &str, positions: &[Position]) {
        let mut admission = batch(Vec::new());
        admission.instance = instance.into();
        admission.group = group_of(positions);
        admission.positions = positions.to_vec();
        match self.store.admit(Arc::new(admission)).await {
            Ok(_) => {}
            // The partition is gone; whoever has it now gets the messages again.
            Err(error) if error.kind() == ErrorKind::StaleClaim => {}
            Err(error) => panic!("{error}"),
        }
    }

    async fn put_out(&self, instance: &str) {
        self.store.remove_instance(instance, NOW).await.unwrap();
        register(&self.store, instance).await;
    }
}

fn group_of(positions: &[Position]) -> String {
    let group = positions.iter().find_map(|position| match position {
        Position::Offset { lease, .. } => lease.as_ref().map(|lease| lease.group.clone()),
        Position::Tag { .. } => None,
    });
    group.unwrap_or_else(|| GROUP.to_owned())
}
