//! What consuming asks of the database.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{AttemptStatus, ClaimToken, ConsumptionStatus, LogId, SharedEnvelope, StagedEvent};
use crate::{broker::Position, clock::Timestamp, error::Result};

/// Admitting, claiming and settling.
#[async_trait]
pub trait InboxStore: Send + Sync {
    /// Admits a batch: recognises duplicates, writes the rows, claims those that can run, and moves `positions`
    /// of the embedded broker, all at once. One outcome for each arrival, in their order.
    async fn admit(&self, batch: Arc<Admission>) -> Result<Admitted>;

    /// Settles attempts. Those whose claim is gone are left alone and returned.
    async fn settle(&self, batch: Arc<SettleBatch>) -> Result<Vec<LogId>>;

    /// Claims open rows that are due, for listeners with room, within the partitions the instance owns.
    async fn claim_due(&self, request: DueRequest) -> Result<Claimed>;

    /// Claims the earliest held rows of one key, in their order.
    async fn claim_held(&self, request: HeldRequest) -> Result<Claimed>;

    /// The open keys of ordered listeners in the partitions an instance takes over: who waits, and how many.
    ///
    /// What is admitted after this call has higher ids than what any instance has admitted before it.
    async fn open_keys(&self, group: &str, scope: &PartitionScope) -> Result<Vec<OpenKey>>;

    /// When the next open row of the listeners is due; `None` when none waits for a time.
    async fn next_due_at(&self, group: &str, listeners: &[String]) -> Result<Option<Timestamp>>;

    /// Marks that the handler of a suspect, a row that was abandoned before, is about to be run. `false` when its claim
    /// is gone: it must not be run.
    async fn mark_started(&self, id: LogId, token: ClaimToken) -> Result<bool>;

    /// Takes back everything a dead or fenced instance had claimed: RECEIVED again, each with an ABANDONED attempt. A row
    /// is charged with the death of its process the first time it was claimed at all, and from then on only when it
    /// was [marked as started](Self::mark_started); after `max_abandoned` charges it is FAILED_MAX_RETRY, since it kills
    /// the process. Returns how many rows.
    async fn rescue(&self, request: RescueRequest) -> Result<u32>;

    /// The status of a row, for a commit whose outcome is not known.
    async fn status_of(&self, id: LogId) -> Result<Option<ConsumptionStatus>>;

    /// The names of the group's listeners that an operator paused.
    async fn paused_listeners(&self, group: &str) -> Result<Vec<String>>;
}

/// A batch to admit.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The consumer group.
    pub group: String,
    /// The service.
    pub service: String,
    /// The instance that claims.
    pub instance: String,
    /// One for each event and listener that wants it.
    pub arrivals: Vec<Arrival>,
    /// How far the embedded broker's partitions are read, when it is the source. `lease` guards each.
    pub positions: Vec<Position>,
    /// When.
    pub now: Timestamp,
}

/// One event for one listener.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The event.
    pub envelope: SharedEnvelope,
    /// The event type to record.
    pub event_type: String,
    /// The topic.
    pub topic: String,
    /// The partition, on brokers that have them.
    pub partition: Option<i32>,
    /// The offset, on brokers that have them.
    pub offset: Option<i64>,
    /// The listener; empty when nobody wants it.
    pub listener: String,
    /// The hash of the key, for an ordered listener; `None` when order does not matter.
    pub key_hash: Option<i64>,
    /// The replay that runs it again; empty otherwise.
    pub replay_id: String,
    /// How often it may be retried.
    pub max_retries: u32,
    /// What is to become of it, unless it is a duplicate.
    pub placement: Placement,
}

/// What is to become of an arrival that is not a duplicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// PROCESSING, claimed.
    Run,
    /// RECEIVED, to wait for a worker.
    Wait,
    /// RECEIVED, to wait for the earlier events of its key.
    Hold,
    /// NO_HANDLER.
    NoHandler,
    /// INVALID, with the reason.
    Invalid(String),
}

/// What admission did.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The claim of the rows to run, when there are any.
    pub token: Option<ClaimToken>,
    /// One for each arrival, in their order.
    pub outcomes: Vec<Outcome>,
}

/// What became of an arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// PROCESSING: run it.
    Run(LogId),
    /// RECEIVED, waiting for a worker or for its key.
    Parked(LogId),
    /// NO_HANDLER.
    NoHandler(LogId),
    /// INVALID, as placed.
    Invalid(LogId),
    /// Seen before, with the same content: DUPLICATE.
    Duplicate {
        /// Its own row.
        id: LogId,
        /// The first row.
        of: LogId,
    },
    /// Seen before, with other content: INVALID.
    Conflict {
        /// Its own row.
        id: LogId,
        /// The first row.
        of: LogId,
    },
    /// Seen before when nobody wanted it, and wanted now: the first row is RECEIVED, waiting.
    Reopened(LogId),
}

/// Claimed rows.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// The claim; `None` when there was nothing to claim.
    pub token: Option<ClaimToken>,
    /// The deliveries, in the order of their ids.
    pub deliveries: Vec<Delivery>,
}

/// One event, claimed for one listener.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its row in the consumption log.
    pub id: LogId,
    /// The claim under which it may be settled.
    pub token: ClaimToken,
    /// The event; its type is set.
    pub envelope: SharedEnvelope,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: Option<i32>,
    /// The offset.
    pub offset: Option<i64>,
    /// The listener.
    pub listener: String,
    /// The hash of the key, for an ordered listener.
    pub key_hash: Option<i64>,
    /// How many retries were used before this attempt.
    pub retry_count: u32,
    /// How often the row was dead-lettered and sent again.
    pub redrive_count: u32,
    /// How many attempts ended with the death of their process.
    pub abandoned_count: u32,
    /// The replay that runs it; empty otherwise.
    pub replay_id: String,
    /// When the service first received it.
    pub received_at: Timestamp,
}

/// Attempts to settle in one transaction.
#[derive(Clone, Debug, Default)]
pub struct SettleBatch {
    /// The instance.
    pub instance: String,
    /// The attempts.
    pub settlements: Vec<Settlement>,
    /// Claims of which every row is now settled; they are removed.
    pub finished: Vec<ClaimToken>,
    /// When.
    pub now: Timestamp,
}

/// One attempt and what becomes of its event.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The row.
    pub id: LogId,
    /// The claim under which it ran.
    pub token: ClaimToken,
    /// The event's id.
    pub event_id: String,
    /// The listener.
    pub listener: String,
    /// The consumer group.
    pub group: String,
    /// The topic, for the row of open work.
    pub topic: String,
    /// The partition, for the row of open work.
    pub partition: Option<i32>,
    /// The hash of the key, for an ordered listener.
    pub key_hash: Option<i64>,
    /// The retries used before this attempt.
    pub retry_count: u32,
    /// Whether the row has its own row of open work, having been claimed from there.
    pub queued: bool,
    /// The attempt; `None` when it was never started.
    pub attempt: Option<Attempt>,
    /// What becomes of the event.
    pub disposition: Disposition,
    /// When it was settled.
    pub settled_at: Timestamp,
}

/// One run of a handler.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub status: AttemptStatus,
    /// The error and its causes.
    pub error: Option<String>,
    /// Backtrace, or the place of a panic.
    pub stack_trace: Option<String>,
}

/// What becomes of an event after an attempt.
#[derive(Clone, Debug)]
pub enum Disposition {
    /// PROCESSED.
    Processed,
    /// FAILED, due again.
    Retry {
        /// When.
        due_at: Timestamp,
        /// The delay chosen, for the attempt's row.
        delay: Duration,
    },
    /// FAILED_MAX_RETRY; the dead letter is staged in the same transaction.
    DeadLetter(Box<StagedEvent>),
    /// INVALID.
    Invalid,
    /// RECEIVED again, due at a time: a snooze, a drain, a listener that was paused.
    Release {
        /// When.
        due_at: Timestamp,
    },
    /// RECEIVED again, to wait for the earlier events of its key.
    Hold,
}

impl Disposition {
    /// The status that the event has then.
    #[must_use]
    pub fn status(&self) -> ConsumptionStatus {
        match self {
            Self::Processed => ConsumptionStatus::Processed,
            Self::Retry { .. } => ConsumptionStatus::Failed,
            Self::DeadLetter(_) => ConsumptionStatus::FailedMaxRetry,
            Self::Invalid => ConsumptionStatus::Invalid,
            Self::Release { .. } | Self::Hold => ConsumptionStatus::Received,
        }
    }
}

/// The partitions within which an instance may claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionScope {
    /// The broker does not assign partitions: every instance may claim every row.
    Any,
    /// Only these, as (topic, partition).
    Owned(Vec<(String, i32)>),
}

/// What to claim of the rows that are due.
#[derive(Clone, Debug)]
pub struct DueRequest {
    /// The consumer group.
    pub group: String,
    /// The instance that claims.
    pub instance: String,
    /// Each listener with room, and how much.
    pub room: Vec<(String, u32)>,
    /// Where.
    pub scope: PartitionScope,
    /// When.
    pub now: Timestamp,
}

/// What to claim of the rows that are held.
#[derive(Clone, Debug)]
pub struct HeldRequest {
    /// The consumer group.
    pub group: String,
    /// The instance that claims.
    pub instance: String,
    /// The listener.
    pub listener: String,
    /// The key.
    pub key_hash: i64,
    /// How many at the most.
    pub limit: u32,
    /// When.
    pub now: Timestamp,
}

/// A key of an ordered listener with open rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenKey {
    /// The listener.
    pub listener: String,
    /// The key.
    pub key_hash: i64,
    /// How many rows of it wait for a worker, for their due time, or are claimed: what its held rows wait for.
    pub heads: u32,
    /// How many rows of it are held.
    pub held: u32,
    /// How many rows of it are dead letters for review: what its held rows wait for with
    /// [`OnDeadLetter::HoldKey`](crate::listen::OnDeadLetter::HoldKey).
    pub dead: u32,
}

/// The dead-letter topics of listeners, by group and listener; `{topic}` stands for the event's own. A listener that is
/// not in it has the default.
pub type DeadLetterTopics = BTreeMap<(String, String), String>;

/// Whose work to take back.
#[derive(Clone, Debug)]
pub struct RescueRequest {
    /// The dead or fenced instance.
    pub instance: String,
    /// After how many abandoned attempts an event goes to review.
    pub max_abandoned: u32,
    /// Where the dead letters of the listeners go that the rescuer knows.
    pub dead_letters: Arc<DeadLetterTopics>,
    /// When.
    pub now: Timestamp,
}
