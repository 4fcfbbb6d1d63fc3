//! The brokers, one folder each.

#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "kafka")]
pub mod kafka;

use std::sync::Arc;

use crate::{
    broker::Broker,
    config::redacted_url,
    error::{ConfigError, Result},
};

/// What a broker is opened with.
pub struct BrokerOptions {
    /// Where it is: `embedded:`, or `kafka://host:port`.
    pub url: String,
    /// The service's store, for the broker that lives in it.
    pub store: crate::store::SharedStore,
    /// The clock.
    pub clock: crate::Clock,
    /// How many partitions a new topic of the embedded broker gets.
    pub embedded_partitions: u32,
    /// How often the embedded broker is looked at when nothing says that there is something new.
    pub poll_interval: std::time::Duration,
    /// Told when rows reached the embedded broker.
    pub published: tokio::sync::watch::Receiver<u64>,
}

/// Opens the broker that a URL names.
///
/// # Errors
/// When the scheme is unknown, or of a broker that is not in this build.
pub async fn open(options: BrokerOptions) -> Result<Arc<dyn Broker>> {
    let scheme = options.url.split(':').next().unwrap_or_default();
    match scheme {
        #[cfg(feature = "embedded")]
        "embedded" => Ok(Arc::new(embedded::EmbeddedBroker::new(options))),
        #[cfg(feature = "kafka")]
        "kafka" => Ok(Arc::new(kafka::Kafka::open(&options.url)?)),
        _ => Err(unknown(&options.url, scheme).into()),
    }
}

fn unknown(url: &str, scheme: &str) -> ConfigError {
    let feature = match scheme {
        "embedded" => "embedded",
        "kafka" => "kafka",
        "amqp" | "amqps" => "rabbitmq",
        _ => {
            return format!("`broker_url` is `{}`, which names no broker; use `embedded:`", redacted_url(url)).into();
        }
    };
    format!(
        "`broker_url` is `{}`, and this build has no such broker; turn on the feature `{feature}` of tracked-events",
        redacted_url(url)
    )
    .into()
}
