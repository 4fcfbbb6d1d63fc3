//! A cluster, its topics, and members of its groups.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    mocking::MockCluster,
    producer::{DefaultProducerContext, FutureProducer, FutureRecord},
};
use tokio::time::timeout;
use tracked_events::{
    broker::{
        Broker, IncomingMessage, Intake, OutgoingMessage, Outlet, Position, Producer, SubscribeRequest, Subscription,
        TopicPartition, TopicSubscription,
    },
    brokers::kafka::Kafka,
    envelope::{Envelope, IdSource},
    listen::{Order, Start},
    store::EventKind,
};

/// Longer than anything here takes when it works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The cluster lets a group wait for three seconds at first, then for the session's length less a second.
const QUICK: &str = "consumer.heartbeat.interval.ms=100&consumer.session.timeout.ms=4000";

pub(crate) struct Cluster {
    pub(crate) mock: MockCluster<'static, DefaultProducerContext>,
}

impl Cluster {
    pub(crate) fn with_topic(topic: &str, partitions: i32) -> Self {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic(topic, partitions, 1).unwrap();
        Self { mock }
    }

    pub(crate) fn broker(&self, options: &str) -> Kafka {
        let servers = self.mock.bootstrap_servers();
        Kafka::open(&format!("kafka://{servers}?{QUICK}&{options}")).unwrap()
    }

    pub(crate) fn producer(&self, options: &str) -> std::sync::Arc<dyn Producer> {
        match self.broker(options).outlet() {
            Outlet::Producer(producer) => producer,
            Outlet::ProductionLog { .. } => panic!("Kafka has a producer"),
        }
    }

    pub(crate) async fn join(&self, group: &str, topic: &str) -> Member {
        self.join_with(group, topic, "", Duration::from_secs(20)).await
    }

    pub(crate) async fn join_with(&self, group: &str, topic: &str, options: &str, release_timeout: Duration) -> Member {
        let topics = vec![TopicSubscription { topic: topic.into(), order: Order::Key, start: Start::Earliest }];
        let request = SubscribeRequest { group: group.into(), topics, instance: "instance".into(), release_timeout };
        Member { subscription: self.broker(options).subscribe(request).await.unwrap(), topic: topic.into() }
    }

    /// Messages of a foreign producer.
    pub(crate) async fn fill(&self, topic: &str, partition: i32, count: usize) {
        let producer: FutureProducer = self.client().create().unwrap();
        let sent: Vec<_> = (0..count)
            .map(|_| {
                let record = FutureRecord::<[u8], [u8]>::to(topic).partition(partition).payload(b"{}");
                producer.send_result(record).unwrap()
            })
            .collect();
        for delivery in sent {
            delivery.await.unwrap().unwrap();
        }
    }

    /// The group's committed offsets, as the cluster has them.
    pub(crate) fn committed(&self, group: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
        let observer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let list = observer.committed_offsets(list, PATIENCE).unwrap();
        let offsets = list.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((element.partition(), offset)),
            _ => None,
        });
        offsets.collect()
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.mock.bootstrap_servers());
        client
    }
}

/// A member of a group.
pub(crate) struct Member {
    pub(crate) subscription: Box<dyn Subscription>,
    topic: String,
}

impl Member {
    pub(crate) async fn next(&mut self) -> Intake {
        timeout(PATIENCE, self.subscription.next(500)).await.unwrap().unwrap()
    }

    pub(crate) async fn assigned(&mut self) -> Vec<i32> {
        match self.next().await {
            Intake::Assigned(partitions) => numbers(&partitions),
            other => panic!("expected partitions, got {other:?}"),
        }
    }

    /// That many messages, and nothing else in between.
    pub(crate) async fn messages(&mut self, count: usize) -> Vec<IncomingMessage> {
        let mut messages = Vec::new();
        while messages.len() < count {
            match timeout(PATIENCE, self.subscription.next(count - messages.len())).await.unwrap().unwrap() {
                Intake::Messages(more) => messages.extend(more),
                other => panic!("expected messages, got {other:?}"),
            }
        }
        messages
    }

    /// The offsets of that many messages, by partition.
    pub(crate) async fn offsets(&mut self, count: usize) -> BTreeMap<i32, Vec<i64>> {
        let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for message in self.messages(count).await {
            let (partition, offset) = message.position.coordinates();
            offsets.entry(partition.unwrap()).or_default().push(offset.unwrap());
        }
        offsets
    }

    pub(crate) async fn admitted(&mut self, partition: i32, offset: i64) {
        let position = Position::Offset { partition: self.partition(partition), offset, lease: None };
        self.subscription.admitted(&[position]).await.unwrap();
    }

    /// Nothing is there to be taken now.
    pub(crate) async fn expect_nothing_now(&mut self) {
        tokio::select! {
            biased;
            intake = self.subscription.next(500) => panic!("expected nothing, got {intake:?}"),
            () = std::future::ready(()) => {}
        }
    }

    pub(crate) fn partition(&self, partition: i32) -> TopicPartition {
        TopicPartition { topic: self.topic.clone(), partition }
    }
}

pub(crate) fn message(topic: &str, key: Option<&str>, id: &str, payload: Vec<u8>) -> OutgoingMessage {
    let envelope = Envelope {
        event_id: id.into(),
        id_source: IdSource::Publisher,
        event_type: Some("ORDER_PLACED".into()),
        payload: Some(payload),
        key: key.map(|key| key.as_bytes().to_vec()),
        content_type: None,
        correlation_id: None,
        causation_id: None,
        traceparent: None,
        headers: Vec::new(),
    };
    OutgoingMessage { topic: topic.into(), envelope, kind: EventKind::Event, source: "orders".into() }
}

/// Asks until the answer is right; each question waits for the cluster.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "it never became so");
    }
}

fn numbers(partitions: &[TopicPartition]) -> Vec<i32> {
    let mut numbers: Vec<_> = partitions.iter().map(|partition| partition.partition).collect();
    numbers.sort_unstable();
    numbers
}
