//! The cluster and its topics.

use std::{collections::HashSet, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
};
use tokio::task::spawn_blocking;

use super::{broker_error, config::Config};
use crate::error::{Error, ErrorKind, Result};

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The cluster's own choice of partitions and replicas.
const CLUSTER_DEFAULT: i32 = -1;

/// What is there.
struct Metadata {
    brokers: usize,
    topics: HashSet<String>,
}

pub(super) async fn check(config: &Config) -> Result<String> {
    let metadata = metadata(config).await?;
    Ok(format!("{} brokers, {} topics", metadata.brokers, metadata.topics.len()))
}

/// Makes the topics that are missing, with as many partitions as the cluster gives by default.
pub(super) async fn ensure(config: &Config, topics: &[String]) -> Result<()> {
    let known = metadata(config).await?.topics;
    let missing: Vec<_> = topics.iter().filter(|topic| !known.contains(*topic)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let admin: AdminClient<DefaultClientContext> = config.client().create().map_err(bad_client)?;
    let new = missing.iter().map(|topic| {
        let replication = TopicReplication::Fixed(CLUSTER_DEFAULT);
        NewTopic::new(topic, CLUSTER_DEFAULT, replication)
    });
    let new: Vec<_> = new.collect();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let made = admin.create_topics(&new, &options).await.map_err(|error| {
        broker_error(format!("topics `{}` are missing and cannot be made; create them", list(&missing)), error)
    })?;
    let refused: Vec<_> = made
        .into_iter()
        .filter_map(Result::err)
        .filter(|(_, code)| *code != RDKafkaErrorCode::TopicAlreadyExists)
        .map(|(topic, code)| format!("`{topic}` ({code})"))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!("topics {} are missing and cannot be made; create them", refused.join(", "));
    Err(Error::new(ErrorKind::Broker, message))
}

async fn metadata(config: &Config) -> Result<Metadata> {
    let (client, servers) = (config.client(), config.servers().to_owned());
    let asked = spawn_blocking(move || fetch(&client));
    let unreachable = format!("no Kafka broker answers at `{servers}`; check the broker's URL and the network");
    match asked.await {
        Ok(answer) => answer.map_err(|error| broker_error(unreachable, error)),
        Err(error) => Err(broker_error(unreachable, error)),
    }
}

fn fetch(client: &ClientConfig) -> Result<Metadata, rdkafka::error::KafkaError> {
    let client: BaseConsumer = client.create()?;
    let metadata = client.fetch_metadata(None, PATIENCE)?;
    let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
    Ok(Metadata { brokers: metadata.brokers().len(), topics: topics.map(|topic| topic.name().to_owned()).collect() })
}

fn bad_client(error: rdkafka::error::KafkaError) -> Error {
    Error::new(ErrorKind::Config, "the Kafka client cannot be made; correct the broker's URL").caused_by(error)
}

fn list(topics: &[&String]) -> String {
    topics.iter().map(|topic| topic.as_str()).collect::<Vec<_>>().join("`, `")
}
