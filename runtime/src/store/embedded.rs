//! What the embedded broker asks of the database: the production log, read as topics.

use async_trait::async_trait;

use crate::{broker::TopicPartition, clock::Timestamp, error::Result, listen::Start, store::SharedEnvelope};

/// Topics that live in the production log.
#[async_trait]
pub trait EmbeddedStore: Send + Sync {
    /// Makes sure that topics are there, each new one with this many partitions, and returns every partition of them.
    async fn ensure_topics(&self, topics: &[String], partitions: u32, now: Timestamp) -> Result<Vec<TopicPartition>>;

    /// Where a group reads on in these partitions, one offset for each, in their order. A group new to a partition
    /// begins as `start` says, and that is written down: for [`Start::Latest`] at the present end.
    async fn positions(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        start: Start,
        now: Timestamp,
    ) -> Result<Vec<i64>>;

    /// Reads from several partitions at once, each from its offset, in the order of the offsets; at most `limit`
    /// messages in all, shared fairly when there are more.
    async fn read(&self, from: &[(TopicPartition, i64)], limit: u32) -> Result<Vec<LoggedMessage>>;
}

/// A message of a topic in the production log.
#[derive(Clone, Debug)]
pub struct LoggedMessage {
    /// Which of the partitions asked for, by its place in the request.
    pub partition: usize,
    /// Its offset.
    pub offset: i64,
    /// The event; its id is the publisher's.
    pub envelope: SharedEnvelope,
}
