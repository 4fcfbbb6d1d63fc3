//! Kafka, as a cluster in the process that speaks the real protocol.
#![cfg(feature = "kafka")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rdkafka::{
    ClientConfig,
    bindings::{rd_kafka_handle_mock_cluster, rd_kafka_mock_group_initial_rebalance_delay_ms},
    message::{Header, OwnedHeaders},
    mocking::MockCluster,
    producer::{BaseProducer, DefaultProducerContext, FutureProducer, FutureRecord, Producer as _},
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use tracked_events::{
    broker::{Broker, OutgoingMessage, Outlet, Position, Producer},
    brokers::kafka::Kafka,
    envelope::Envelope,
    store::EventKind,
};

use crate::{
    broker::{BrokerFixture, Foreign, Ground, Outside, ProducerFixture},
    given::SERVICE,
};

/// The cluster lets a group wait for the length of a session less a second whenever somebody joins or leaves.
const QUICK: &str = "consumer.heartbeat.interval.ms=100&consumer.session.timeout.ms=2000";

/// How long the cluster takes to answer. It lets a group go on as soon as its leader has divided the partitions, and
/// throws out whoever asks for its own later; the leader asks for metadata first, which takes this long.
const ROUND_TRIP: Duration = Duration::from_millis(40);

/// A cluster without topics.
pub async fn fixture() -> Option<BrokerFixture> {
    Some(open().0)
}

/// A cluster without topics, for those who send.
pub async fn producer_fixture() -> Option<ProducerFixture> {
    let (fixture, cluster) = open();
    let producer = Arc::clone(&cluster.producer);
    Some(ProducerFixture { fixture, producer, outside: cluster })
}

fn open() -> (BrokerFixture, Arc<Cluster>) {
    let host = host();
    let servers = cluster(&host).bootstrap_servers();
    let broker = Kafka::open(&format!("kafka://{servers}?{QUICK}")).unwrap();
    let Outlet::Producer(producer) = broker.outlet() else { panic!("Kafka has a producer") };
    let foreign = ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    let cluster = Arc::new(Cluster { host, producer, foreign });
    (BrokerFixture { broker: Arc::new(broker), ground: cluster.clone() }, cluster)
}

/// A client with a cluster of one broker in it, which makes the first member of a group wait for nobody.
#[allow(unsafe_code)]
fn host() -> BaseProducer {
    let host: BaseProducer = ClientConfig::new().set("test.mock.num.brokers", "1").create().unwrap();
    // SAFETY: the client is alive, and owns the cluster for as long as it is.
    unsafe {
        let cluster = rd_kafka_handle_mock_cluster(host.client().native_ptr());
        assert!(!cluster.is_null());
        rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
    }
    cluster(&host).broker_round_trip_time(1, ROUND_TRIP).unwrap();
    host
}

fn cluster(host: &BaseProducer) -> MockCluster<'_, DefaultProducerContext> {
    host.client().mock_cluster().unwrap()
}

/// The cluster, and who publishes to it.
struct Cluster {
    host: BaseProducer,
    producer: Arc<dyn Producer>,
    foreign: FutureProducer,
}

#[async_trait]
impl Ground for Cluster {
    async fn make_topic(&self, topic: &str, partitions: u32) {
        cluster(&self.host).create_topic(topic, i32::try_from(partitions).unwrap(), 1).unwrap();
    }

    async fn publish(&self, topic: &str, events: Vec<Envelope>) {
        let message = |envelope| OutgoingMessage {
            topic: topic.into(),
            envelope,
            kind: EventKind::Event,
            source: SERVICE.into(),
        };
        for sent in self.producer.send(events.into_iter().map(message).collect()).await {
            sent.unwrap();
        }
    }

    /// Whoever comes is let in.
    async fn enter(&self, _instance: &str) {}

    /// The record of a service is no business of Kafka's.
    async fn admit(&self, _instance: &str, _positions: &[Position]) {}

    async fn put_out(&self, _instance: &str) {
        let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID];
        cluster(&self.host).request_errors(RDKafkaApiKey::Heartbeat, &errors);
    }
}

#[async_trait]
impl Outside for Cluster {
    async fn send(&self, topic: &str, message: Foreign) {
        let headers = message.headers.iter().fold(OwnedHeaders::new(), |headers, header| {
            headers.insert(Header { key: &header.name, value: Some(&header.value) })
        });
        let record = FutureRecord::<[u8], [u8]> {
            topic,
            partition: None,
            payload: message.payload.as_deref(),
            key: message.key.as_deref(),
            timestamp: None,
            headers: Some(headers),
        };
        self.foreign.send_result(record).unwrap().await.unwrap().unwrap();
    }

    /// More than the `message.max.bytes` of a client.
    fn too_large(&self) -> usize {
        2_000_000
    }
}
