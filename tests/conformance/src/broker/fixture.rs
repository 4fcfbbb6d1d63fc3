//! A broker to check, and what surrounds it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tracked_events::{
    broker::{Broker, Position, Producer, SubscribeRequest, TopicSubscription},
    envelope::{Envelope, Header},
    listen::{Order, Start},
};

use super::{Member, within};
use crate::given::TOPIC;

/// A broker without topics.
pub struct BrokerFixture {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// What surrounds it.
    pub ground: Arc<dyn Ground>,
}

/// What a check needs of a broker's surroundings.
#[async_trait]
pub trait Ground: Send + Sync + 'static {
    /// Makes a topic.
    async fn make_topic(&self, topic: &str, partitions: u32);

    /// Publishes events in their order, and returns when all of them can be read.
    async fn publish(&self, topic: &str, events: Vec<Envelope>);

    /// Lets a service in that will join groups as this instance.
    async fn enter(&self, instance: &str);

    /// What a service does to admit messages, before it tells the broker.
    async fn admit(&self, instance: &str, positions: &[Position]);

    /// Takes its partitions away from an instance, the only one, as its group does with one that seems to be dead.
    async fn put_out(&self, instance: &str);
}

/// A broker to which messages are sent.
pub struct ProducerFixture {
    /// The broker, as consumers have it.
    pub fixture: BrokerFixture,
    /// What sends.
    pub producer: Arc<dyn Producer>,
    /// The rest of the world.
    pub outside: Arc<dyn Outside>,
}

/// Those who use the same broker without this library.
#[async_trait]
pub trait Outside: Send + Sync + 'static {
    /// Sends a message, and returns when it can be read.
    async fn send(&self, topic: &str, message: Foreign);

    /// A body that the broker refuses for its size.
    fn too_large(&self) -> usize;
}

/// A message that was not made by this library.
#[derive(Clone, Debug, Default)]
pub struct Foreign {
    /// The message key.
    pub key: Option<Vec<u8>>,
    /// The payload.
    pub payload: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<Header>,
}

impl BrokerFixture {
    /// Makes the topic that most checks are about.
    pub async fn topic(&self, partitions: u32) {
        self.ground.make_topic(TOPIC, partitions).await;
    }

    /// Publishes to it.
    pub async fn publish(&self, events: Vec<Envelope>) {
        self.ground.publish(TOPIC, events).await;
    }

    /// Joins a group that reads it.
    pub async fn join(&self, group: &str, instance: &str) -> Member {
        self.join_with(request(group, instance, &[TOPIC])).await
    }

    /// Joins a group.
    pub async fn join_with(&self, request: SubscribeRequest) -> Member {
        self.ground.enter(&request.instance).await;
        let instance = request.instance.clone();
        let joined = within("joining the group", self.broker.subscribe(request)).await.unwrap();
        Member::new(Arc::clone(&self.ground), instance, joined)
    }

    /// Joins a group that reads it, and waits for the partitions, all of them.
    pub async fn join_alone(&self, group: &str, instance: &str, partitions: usize) -> Member {
        let mut member = self.join(group, instance).await;
        member.assigned(partitions).await;
        member
    }
}

/// Joins for ordered listeners, from the first message on.
#[must_use]
pub fn request(group: &str, instance: &str, topics: &[&str]) -> SubscribeRequest {
    let topic =
        |topic: &&str| TopicSubscription { topic: (*topic).to_owned(), order: Order::Key, start: Start::Earliest };
    SubscribeRequest {
        group: group.into(),
        topics: topics.iter().map(topic).collect(),
        instance: instance.into(),
        release_timeout: Duration::from_secs(30),
    }
}

impl ProducerFixture {
    /// A member of a new group that has all of the topic.
    pub async fn reader(&self, group: &str, partitions: usize) -> Member {
        self.fixture.join_alone(group, group, partitions).await
    }
}
