//! The group's decisions, as the client library reports them.
//!
//! The callback only writes the decision down: the poll thread acts on it when the consumer is ready, and goes on polling
//! until then. The client library waits for that act as long as the group does.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult},
    types::RDKafkaRespErr,
};

use super::mailbox::Mailbox;

/// What the group decided.
pub(super) enum Decision {
    Assign(TopicPartitionList),
    Revoke(TopicPartitionList),
}

/// The callbacks of a consumer; they run on the poll thread, within `poll`.
pub(super) struct GroupContext {
    mailbox: Arc<Mailbox>,
    decisions: Mutex<VecDeque<Decision>>,
    /// A callback ran, so the queue need not be empty although `poll` returned nothing.
    called_back: AtomicBool,
    leaving: AtomicBool,
}

impl GroupContext {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            mailbox,
            decisions: Mutex::default(),
            called_back: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
        }
    }

    pub(super) fn decisions(&self) -> VecDeque<Decision> {
        mem::take(&mut *self.decisions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn was_called_back(&self) -> bool {
        self.called_back.swap(false, Ordering::Relaxed)
    }

    /// From now on partitions go without anybody being asked.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    fn decide(&self, decision: Decision) {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner).push_back(decision);
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.called_back.store(true, Ordering::Relaxed);
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::error!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, "{message}")
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn stats_raw(&self, _: &[u8]) {
        self.called_back.store(true, Ordering::Relaxed);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.called_back.store(true, Ordering::Relaxed);
        tracing::warn!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        self.called_back.store(true, Ordering::Relaxed);
        let assigned = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.leaving.load(Ordering::Relaxed) {
            let done = if assigned { assign(consumer, partitions) } else { unassign(consumer, partitions) };
            if let Err(error) = done {
                tracing::warn!(%error, "a partition could not be handed back in order; the group takes it back itself");
            }
        } else if assigned {
            self.decide(Decision::Assign(partitions.clone()));
        } else {
            self.decide(Decision::Revoke(partitions.clone()));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.called_back.store(true, Ordering::Relaxed);
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(rdkafka::types::RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => tracing::warn!(%error, "offsets were not committed; their events may be delivered again"),
        }
    }
}

pub(super) fn assign(consumer: &BaseConsumer<GroupContext>, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(partitions),
    }
}

pub(super) fn unassign(consumer: &BaseConsumer<GroupContext>, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}

/// Wakes the poll thread whenever the client has something for it.
pub(super) fn wake_on_news(consumer: &mut BaseConsumer<GroupContext>) {
    let mailbox = consumer.context().mailbox.clone();
    consumer.set_nonempty_callback(move || mailbox.call());
}
