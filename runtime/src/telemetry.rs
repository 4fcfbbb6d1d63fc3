//! What the library tells about itself: every metric, span and attribute by name.
//!
//! Metrics go through the [`metrics`] facade, to whichever recorder the process installed; the generated main
//! installs one for Prometheus, an embedding program may have its own. Labels are of low
//! cardinality: never an id, a key or a message. Handles are looked up once and kept, since a look-up for each event
//! would cost more than the count.

mod backlog;
mod catalogue;
mod exporter;
mod listener;
mod relay;

pub(crate) use self::{
    backlog::BacklogGauges,
    exporter::Exporter,
    listener::{GroupMetrics, ListenerMetrics, Pause, rescued},
    relay::RelayMetrics,
};

/// Names of metrics, for programs that read them and for dashboards.
pub mod metric {
    pub use super::catalogue::names::*;
}

/// Names of spans.
pub mod span {
    /// One attempt of a handler.
    pub const PROCESS: &str = "tracked_events.process";
    /// The admission of a batch.
    pub const ADMIT: &str = "tracked_events.admit";
    /// The settling of a batch.
    pub const SETTLE: &str = "tracked_events.settle";
    /// The relaying of a batch.
    pub const PUBLISH: &str = "tracked_events.publish";
}

/// Names of attributes of spans and log events; OpenTelemetry's where it has one.
pub mod attribute {
    /// The broker.
    pub const SYSTEM: &str = "messaging.system";
    /// The topic.
    pub const TOPIC: &str = "messaging.destination.name";
    /// The partition.
    pub const PARTITION: &str = "messaging.destination.partition.id";
    /// The offset.
    pub const OFFSET: &str = "messaging.kafka.offset";
    /// The consumer group.
    pub const GROUP: &str = "messaging.consumer.group.name";
    /// The event's id.
    pub const EVENT_ID: &str = "messaging.message.id";
    /// The correlation id.
    pub const CORRELATION_ID: &str = "messaging.message.conversation_id";
    /// How many messages a batch holds.
    pub const BATCH_COUNT: &str = "messaging.batch.message_count";
    /// The event's type.
    pub const EVENT_TYPE: &str = "tracked_events.event_type";
    /// The listener.
    pub const LISTENER: &str = "tracked_events.listener";
    /// The attempt; the first is 1.
    pub const ATTEMPT: &str = "tracked_events.attempt";
    /// How it ended.
    pub const STATUS: &str = "tracked_events.status";
    /// The row of the log.
    pub const LOG_ID: &str = "tracked_events.log_id";
    /// The error and its causes.
    pub const ERROR: &str = "error.message";
}
