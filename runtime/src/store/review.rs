//! What operators and commands ask of the database.

use async_trait::async_trait;
use serde::Serialize;

use super::{AttemptStatus, ConsumptionStatus, LogId, ProductionRecord};
use crate::{clock::Timestamp, error::Result};

/// Searching the record and acting on it.
#[async_trait]
pub trait ReviewStore: Send + Sync {
    /// Rows of the consumption log that match, newest first.
    async fn consumed(&self, query: &RecordQuery) -> Result<Vec<ConsumptionRecord>>;

    /// Rows of the production log that match, newest first.
    async fn produced(&self, query: &RecordQuery) -> Result<Vec<ProductionRecord>>;

    /// The attempts at these rows of the consumption log, oldest first.
    async fn attempts(&self, consumption_ids: &[LogId]) -> Result<Vec<AttemptRecord>>;

    /// What operators did to an event, oldest first.
    async fn actions(&self, event_id: &str) -> Result<Vec<ActionRecord>>;

    /// The open rows of these events: what waits, for what, until when.
    async fn open_work(&self, consumption_ids: &[LogId]) -> Result<Vec<OpenWork>>;

    /// Rows for review (dead letters, INVALID), oldest first.
    async fn for_review(&self, query: &RecordQuery) -> Result<Vec<ConsumptionRecord>>;

    /// An operator's act on rows of the consumption log. Each row is guarded by its status and recorded in
    /// `operator_action`; returns the ids that changed.
    async fn act(&self, act: OperatorAct) -> Result<Vec<LogId>>;

    /// An operator's act on rows of the production log: FAILED_MAX_RETRY to PENDING or DISCARDED.
    async fn act_on_outbox(&self, act: OperatorAct) -> Result<Vec<LogId>>;

    /// How much open work there is at one moment, read from the narrow tables and the embedded broker's positions.
    async fn backlog(&self) -> Result<Backlog>;

    /// Pauses a listener.
    async fn pause_listener(&self, pause: ListenerPause) -> Result<()>;

    /// Resumes a listener. `false` when it was not paused.
    async fn resume_listener(&self, group: &str, listener: &str) -> Result<bool>;
}

/// What to look for. Every field that is set must match.
#[derive(Clone, Debug, Default)]
pub struct RecordQuery {
    /// The event's id.
    pub event_id: Option<String>,
    /// The row's id.
    pub id: Option<LogId>,
    /// Status, as the log names it.
    pub status: Option<String>,
    /// The topic.
    pub topic: Option<String>,
    /// The event's type.
    pub event_type: Option<String>,
    /// The consumer group.
    pub group: Option<String>,
    /// The listener.
    pub listener: Option<String>,
    /// The message key.
    pub key: Option<Vec<u8>>,
    /// The correlation id.
    pub correlation_id: Option<String>,
    /// Created at or after.
    pub from: Option<Timestamp>,
    /// Created before.
    pub to: Option<Timestamp>,
    /// Only rows before this id (after it, where the oldest come first): the next page.
    pub after_id: Option<LogId>,
    /// At most this many; 0 is none.
    pub limit: u32,
}

/// A row of the consumption log, as people read it.
#[derive(Clone, Debug, Serialize)]
pub struct ConsumptionRecord {
    /// Its id in the log.
    pub id: LogId,
    /// The event's id.
    pub event_id: String,
    /// The service.
    pub service_name: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition_number: Option<i32>,
    /// The offset.
    pub offset: Option<i64>,
    /// The consumer group.
    pub consumer_group: String,
    /// The listener; empty when nobody wanted it.
    pub handler_name: String,
    /// The event's type.
    pub event_type: String,
    /// The message key.
    pub event_key: Option<Vec<u8>>,
    /// The payload.
    #[serde(skip)]
    pub payload: Option<Vec<u8>>,
    /// Where it stands.
    pub status: ConsumptionStatus,
    /// How often it was retried.
    pub retry_count: i32,
    /// How often it may be.
    pub max_retries: i32,
    /// How long the last attempt took.
    pub processing_time_ms: Option<i64>,
    /// Why the last attempt failed.
    pub error_message: Option<String>,
    /// Where it failed.
    pub error_stack_trace: Option<String>,
    /// Ties together everything one request caused.
    pub correlation_id: Option<String>,
    /// The event that caused it.
    pub causation_id: Option<String>,
    /// Its headers, as JSON.
    pub headers: Option<String>,
    /// More, as JSON.
    pub metadata: Option<String>,
    /// The replay that ran it; empty otherwise.
    pub replay_id: String,
    /// How often it was sent again.
    pub redrive_count: i32,
    /// When it was received.
    pub received_at: Timestamp,
    /// When it was settled for good.
    pub processed_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
}

/// A row of `event_attempt`.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptRecord {
    /// The row of the consumption log.
    pub consumption_id: LogId,
    /// Which attempt; the first is 1.
    pub attempt_number: i32,
    /// The listener.
    pub handler_name: String,
    /// The instance that ran it.
    pub instance_id: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Timestamp,
    /// How it ended.
    pub status: AttemptStatus,
    /// Why it failed.
    pub error_message: Option<String>,
    /// Where it failed.
    pub error_stack_trace: Option<String>,
    /// How long it took.
    pub processing_time_ms: i64,
    /// The delay chosen before the next.
    pub retry_delay_ms: Option<i64>,
}

/// A row of `operator_action`.
#[derive(Clone, Debug, Serialize)]
pub struct ActionRecord {
    /// What was done.
    pub action: String,
    /// To which log.
    pub target_table: String,
    /// To which row.
    pub target_id: LogId,
    /// The event's id.
    pub event_id: String,
    /// The status before.
    pub status_from: String,
    /// The status after.
    pub status_to: String,
    /// Who.
    pub operator: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// A row of open inbox work.
#[derive(Clone, Debug, Serialize)]
pub struct OpenWork {
    /// The row of the consumption log.
    pub consumption_id: LogId,
    /// What it waits for.
    pub state: super::InboxState,
    /// Until when.
    pub due_at: Timestamp,
    /// How many attempts ended with the death of their process.
    pub abandoned_count: i32,
}

/// An operator's act.
#[derive(Clone, Debug)]
pub struct OperatorAct {
    /// The rows.
    pub ids: Vec<LogId>,
    /// What to do with them.
    pub action: OperatorAction,
    /// Who.
    pub operator: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub now: Timestamp,
}

/// What an operator can do with a row for review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorAction {
    /// Send it again: RECEIVED (or PENDING), with fresh retries.
    Retry,
    /// Give it up: DISCARDED.
    Discard,
}

impl OperatorAction {
    /// The word in `operator_action`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
        }
    }
}

/// How much open work there is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Backlog {
    /// Published rows that the broker has not acknowledged.
    pub outbox_pending: i64,
    /// Of these, those that wait for a retry.
    pub outbox_failed: i64,
    /// Published rows for review.
    pub outbox_review: i64,
    /// When the oldest of those that are not for review was or will be due.
    pub outbox_oldest_due_at: Option<Timestamp>,
    /// Open consumed rows by listener.
    pub listeners: Vec<ListenerBacklog>,
    /// Events of the embedded broker that a group has not read yet.
    pub embedded_lag: Vec<GroupLag>,
    /// Batches that some instance has in hand, a dead one that was not rescued yet included.
    pub claims: i64,
}

impl Backlog {
    /// Whether nothing is left to do but for what an operator has to review.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outbox_pending == 0
            && self.claims == 0
            && self
                .listeners
                .iter()
                .all(|listener| listener.waiting + listener.held + listener.due + listener.claimed == 0)
            && self.embedded_lag.iter().all(|group| group.lag == 0)
    }

    /// Whether all that is left waits for a time after `now`, or for what does.
    #[must_use]
    pub fn waits_until_after(&self, now: Timestamp) -> bool {
        self.outbox_pending == self.outbox_failed
            && self.claims == 0
            && self.outbox_oldest_due_at.is_none_or(|due_at| due_at > now)
            && self
                .listeners
                .iter()
                .all(|listener| listener.claimed == 0 && listener.oldest_due_at.is_none_or(|due_at| due_at > now))
            && self.embedded_lag.iter().all(|group| group.lag == 0)
    }
}

/// Open consumed rows of a listener.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ListenerBacklog {
    /// The consumer group.
    pub consumer_group: String,
    /// The listener.
    pub handler_name: String,
    /// Rows that wait for a worker.
    pub waiting: i64,
    /// Rows that wait for their key.
    pub held: i64,
    /// Rows that wait for their retry.
    pub due: i64,
    /// Rows that a worker claimed again.
    pub claimed: i64,
    /// Rows for review.
    pub review: i64,
    /// When the oldest of those that wait for a worker or a retry was or will be due.
    pub oldest_due_at: Option<Timestamp>,
}

/// How far a group of the embedded broker is behind.
#[derive(Clone, Debug, Serialize)]
pub struct GroupLag {
    /// The consumer group.
    pub consumer_group: String,
    /// The topic.
    pub topic: String,
    /// Events not read yet, over all partitions.
    pub lag: i64,
}

/// A listener that an operator pauses.
#[derive(Clone, Debug)]
pub struct ListenerPause {
    /// The consumer group.
    pub group: String,
    /// The listener.
    pub listener: String,
    /// Who.
    pub operator: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub now: Timestamp,
}
