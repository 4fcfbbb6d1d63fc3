//! What publishing asks of the database.

use async_trait::async_trait;
use serde::Serialize;

use super::{EventKind, Lease, LogId};
use crate::{clock::Timestamp, connection::Tx, envelope::Envelope, error::Result};

/// Shards of the outbox. A key's rows are all in one shard, and a shard has one relay at a time.
pub const OUTBOX_SHARDS: i32 = 16;

/// The shard that a leased resource is, if it is one.
pub(crate) fn outbox_shard(resource: &str) -> Option<i32> {
    let shard = resource.strip_prefix("outbox/")?.parse().ok()?;
    (0..OUTBOX_SHARDS).contains(&shard).then_some(shard)
}

/// An event on its way into the production log.
#[derive(Clone, Debug)]
pub struct StagedEvent {
    /// The event; its type is set.
    pub envelope: Envelope,
    /// The topic.
    pub topic: String,
    /// The service that publishes.
    pub service: String,
    /// How often publishing may be tried again.
    pub max_retries: u32,
    /// What kind of event it is.
    pub kind: EventKind,
    /// When it was staged.
    pub created_at: Timestamp,
}

impl StagedEvent {
    /// The shard of the outbox: by key, else by id.
    #[must_use]
    pub fn shard(&self) -> i32 {
        let hash = self.envelope.key_hash().unwrap_or_else(|| crate::envelope::hash(self.envelope.event_id.as_bytes()));
        i32::try_from(hash.rem_euclid(i64::from(OUTBOX_SHARDS))).unwrap_or(0)
    }
}

/// Staging and the relay.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Stages events, PENDING, on an open transaction of the caller.
    async fn stage(&self, tx: &mut Tx<'_>, events: &[StagedEvent]) -> Result<()>;

    /// Stages events in a transaction of its own.
    async fn stage_alone(&self, events: Vec<StagedEvent>) -> Result<()>;

    /// How many batches of different shards are worth relaying beside each other. One where writers wait for each other.
    fn relays_at_once(&self) -> usize {
        1
    }

    /// Takes due rows of the shards in `leases`, in the order of their ids, and writes them PUBLISHING. Rows of a
    /// key with an earlier row that waits for its retry are left.
    async fn take_outgoing(&self, leases: &[Lease], limit: u32, now: Timestamp) -> Result<Vec<Outgoing>>;

    /// Settles rows that were taken under `leases`. Rows of a lease that is gone are left alone.
    async fn settle_outgoing(&self, leases: &[Lease], results: Vec<OutgoingResult>, now: Timestamp) -> Result<()>;

    /// Publishes due rows to topics that live in this database, without a broker in between: each gets partition
    /// and offset and is PUBLISHED, in one transaction. Offsets become visible in their order.
    async fn publish_embedded(&self, leases: &[Lease], limit: u32, partitions: u32, now: Timestamp) -> Result<u32>;

    /// Gives back rows in PUBLISHING that an earlier owner of the shards in `leases` left behind: PENDING again.
    async fn recover_outgoing(&self, leases: &[Lease], now: Timestamp) -> Result<u32>;

    /// When the next row of the shards in `leases` is due; `None` when there is none.
    async fn next_outgoing_at(&self, leases: &[Lease]) -> Result<Option<Timestamp>>;
}

/// A row that is to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its id in the production log.
    pub id: LogId,
    /// Its shard.
    pub shard: i32,
    /// The topic.
    pub topic: String,
    /// The event.
    pub envelope: Envelope,
    /// What kind of event it is.
    pub kind: EventKind,
    /// How often it was tried again so far.
    pub retry_count: u32,
    /// How often it may be tried again.
    pub max_retries: u32,
    /// When it was staged.
    pub created_at: Timestamp,
}

/// What became of a row that was sent.
#[derive(Clone, Debug)]
pub struct OutgoingResult {
    /// Its id in the production log.
    pub id: LogId,
    /// Its shard.
    pub shard: i32,
    /// What became of it.
    pub outcome: OutgoingOutcome,
}

/// What became of a row that was sent.
#[derive(Clone, Debug, PartialEq)]
pub enum OutgoingOutcome {
    /// Acknowledged: PUBLISHED.
    Published {
        /// Where, on brokers that have partitions.
        partition: Option<i32>,
        /// Where in the partition.
        offset: Option<i64>,
    },
    /// Refused: FAILED, due again.
    Retry {
        /// Why.
        error: String,
        /// When.
        due_at: Timestamp,
    },
    /// Refused for the last time: FAILED_MAX_RETRY.
    GiveUp {
        /// Why.
        error: String,
    },
    /// Not sent, because an earlier row of its key was refused: PENDING again.
    Held,
}

/// A row of the production log, as people read it.
#[derive(Clone, Debug, Serialize)]
pub struct ProductionRecord {
    /// Its id in the log.
    pub id: LogId,
    /// The event's id.
    pub event_id: String,
    /// The service that published it.
    pub service_name: String,
    /// The topic.
    pub topic: String,
    /// The event's type.
    pub event_type: String,
    /// The message key.
    pub event_key: Option<Vec<u8>>,
    /// The payload.
    #[serde(skip)]
    pub payload: Option<Vec<u8>>,
    /// Where it stands.
    pub status: super::ProductionStatus,
    /// What kind of event it is.
    pub kind: EventKind,
    /// How often it was tried again.
    pub retry_count: i32,
    /// How often it may be.
    pub max_retries: i32,
    /// Why the last try failed.
    pub error_message: Option<String>,
    /// Ties together everything one request caused.
    pub correlation_id: Option<String>,
    /// The event that caused it.
    pub causation_id: Option<String>,
    /// The partition.
    pub partition_number: Option<i32>,
    /// The offset.
    pub offset: Option<i64>,
    /// Its headers, as JSON.
    pub headers: Option<String>,
    /// When it was staged.
    pub created_at: Timestamp,
    /// When the broker acknowledged it.
    pub published_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
}
