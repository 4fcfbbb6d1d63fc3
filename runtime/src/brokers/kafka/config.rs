//! What librdkafka is told: our settings, then the user's, but never against what the contract rests on.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::ClientConfig;

use crate::{
    broker::SubscribeRequest,
    config::redacted_url,
    error::{ConfigError, Error, ErrorKind, Result},
    listen::Start,
};

/// The scheme of a Kafka URL.
const SCHEME: &str = "kafka://";

/// How much longer a message may stay in the client when nobody waits for it any more.
const BACKSTOP: Duration = Duration::from_secs(60);

/// Settings that the contract rests on. They cannot be changed.
const RESERVED: [&str; 12] = [
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "message.timeout.ms",
    "partition.assignment.strategy",
];

const CONSUMER: [(&str, &str); 11] = [
    ("allow.auto.create.topics", "false"),
    ("auto.commit.interval.ms", "1000"),
    ("enable.auto.commit", "true"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    // Its default of a second is how long the client waits when it has read ahead enough: a limit of 10,000/s here.
    ("fetch.queue.backoff.ms", "20"),
    ("fetch.wait.max.ms", "100"),
    ("max.poll.interval.ms", "300000"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("queued.max.messages.kbytes", "16384"),
    ("queued.min.messages", "10000"),
];

const PRODUCER: [(&str, &str); 6] = [
    ("delivery.timeout.ms", "30000"),
    ("enable.gapless.guarantee", "true"),
    ("enable.idempotence", "true"),
    // A batch is handed in at once, and what does not go with the first request goes with the next.
    ("linger.ms", "0"),
    ("partitioner", "murmur2_random"),
    ("queue.buffering.max.kbytes", "131072"),
];

/// The settings of a cluster's clients.
#[derive(Clone, Debug)]
pub(super) struct Config {
    servers: String,
    consumer: BTreeMap<String, String>,
    producer: BTreeMap<String, String>,
    shared: BTreeMap<String, String>,
}

impl Config {
    pub(super) fn from_url(url: &str) -> Result<Self> {
        let mut problems = ConfigError::default();
        let shown = redacted_url(url);
        let rest = url.strip_prefix(SCHEME).unwrap_or_else(|| {
            problems.push(format!("`{shown}` is not a Kafka URL; write one such as `kafka://localhost:9092`"));
            url
        });
        let (servers, options) = rest.split_once('?').unwrap_or((rest, ""));
        let servers = servers.trim_end_matches('/');
        if servers.is_empty() {
            problems.push(format!("`{shown}` names no server; write one such as `kafka://localhost:9092`"));
        }
        let mut config = Self {
            servers: servers.to_owned(),
            consumer: owned(&CONSUMER),
            producer: owned(&PRODUCER),
            shared: BTreeMap::new(),
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            if let Err(problem) = config.set(option) {
                problems.push(problem);
            }
        }
        problems.into_result()?;
        Ok(config)
    }

    fn set(&mut self, option: &str) -> Result<(), String> {
        let (name, value) =
            option.split_once('=').ok_or_else(|| format!("`{option}` is not an option; write `name=value`"))?;
        let (side, name) = match name.split_once('.') {
            Some(("consumer", name)) => (&mut self.consumer, name),
            Some(("producer", name)) => (&mut self.producer, name),
            _ if self.consumer.contains_key(name) => (&mut self.consumer, name),
            _ if self.producer.contains_key(name) => (&mut self.producer, name),
            _ => (&mut self.shared, name),
        };
        if RESERVED.contains(&name) {
            return Err(format!("`{name}` is set by the library, which rests on it; leave it out of the URL"));
        }
        side.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    /// What a client needs that neither consumes nor produces.
    pub(super) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.servers);
        client.extend(self.shared.clone());
        client
    }

    pub(super) fn consumer(&self, request: &SubscribeRequest) -> Result<ClientConfig> {
        let limit = milliseconds(&self.consumer, "max.poll.interval.ms")?;
        if request.release_timeout >= limit {
            let message = format!(
                "partitions may be held back for `{}`, longer than Kafka waits for a member (`{}`); raise \
                 `max.poll.interval.ms` in the broker's URL",
                humantime::format_duration(request.release_timeout),
                humantime::format_duration(limit),
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        let mut client = self.client();
        client.extend(self.consumer.clone());
        client.set("group.id", &request.group).set("client.id", &request.instance);
        client.set("auto.offset.reset", offset_reset(request)?);
        Ok(client)
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut client = self.client();
        client.extend(self.producer.clone());
        // The producer ends the lives of messages itself, all at once; this only clears what nobody waits for.
        let backstop = self.delivery_timeout().unwrap_or_default().saturating_add(BACKSTOP).as_millis();
        client.remove("delivery.timeout.ms");
        client.set("message.timeout.ms", backstop.to_string());
        client
    }

    /// How long the acknowledgement of a message may take.
    pub(super) fn delivery_timeout(&self) -> Result<Duration> {
        milliseconds(&self.producer, "delivery.timeout.ms")
    }
}

/// librdkafka has one such setting for a client, so a group begins all of its topics at the same end.
fn offset_reset(request: &SubscribeRequest) -> Result<&'static str> {
    let mut starts = request.topics.iter().map(|topic| topic.start);
    let first = starts.next().unwrap_or_default();
    if starts.any(|start| start != first) {
        let message = format!(
            "the listeners of group `{}` begin at both ends of their topics, which Kafka cannot do in one group; give \
             them the same `start`, or a `group` each",
            request.group
        );
        return Err(Error::new(ErrorKind::Config, message));
    }
    Ok(match first {
        Start::Earliest => "earliest",
        Start::Latest => "latest",
    })
}

fn milliseconds(options: &BTreeMap<String, String>, name: &str) -> Result<Duration> {
    let value = options.get(name).map_or("", String::as_str);
    let millis = value.parse().map_err(|error: std::num::ParseIntError| {
        let message = format!("`{name}={value}` is not a number of milliseconds; write one such as `30000`");
        Error::new(ErrorKind::Config, message).caused_by(error)
    })?;
    Ok(Duration::from_millis(millis))
}

fn owned(defaults: &[(&str, &str)]) -> BTreeMap<String, String> {
    defaults.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_url_is_reported_at_once() {
        let error = Config::from_url("kafka://?group.id=mine&nonsense").unwrap_err();
        let problems = crate::error::chain(&error);
        for part in ["names no server", "`group.id` is set by the library", "`nonsense` is not an option"] {
            assert!(problems.contains(part), "{problems}");
        }
    }

    #[test]
    fn an_option_goes_to_the_side_that_it_is_for() {
        let config =
            Config::from_url("kafka://a:1,b:2?max.poll.interval.ms=9&producer.acks=1&sasl.username=me").unwrap();
        let producer = config.producer();
        assert_eq!(producer.get("bootstrap.servers"), Some("a:1,b:2"));
        assert_eq!((producer.get("acks"), producer.get("max.poll.interval.ms")), (Some("1"), None));
        assert_eq!((config.client().get("sasl.username"), config.client().get("acks")), (Some("me"), None));
    }
}
