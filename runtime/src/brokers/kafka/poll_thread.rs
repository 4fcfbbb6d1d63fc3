//! The thread that keeps a membership alive.
//!
//! It hardly ever waits for the consumer's task: when the mailbox stays full, it pauses everything and polls on, so that neither the group nor `max.poll.interval.ms` ever meets a silent member. While a partition is
//! going, it polls as well, and lets go when the consumer has released it, when the time for that is up, or when the
//! group has taken it already.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    beginning::begin_at_the_end,
    broker_error,
    flow::Flow,
    mailbox::{self, Mailbox, Offsets, Orders},
    rebalance::{self, Decision, GroupContext},
    wire,
};
use crate::{
    broker::{Intake, SubscribeRequest, TopicPartition},
    listen::Start,
};

/// How long the thread sleeps when nobody calls it.
const NAP: Duration = Duration::from_millis(100);
/// How long the client may take to go back to an earlier offset.
const SEEK_PATIENCE: Duration = Duration::from_secs(5);
/// How many messages are handed over at a time.
const GULP: usize = 256;
const GULP_BYTES: usize = 1 << 20;

pub(super) struct PollThread {
    consumer: BaseConsumer<GroupContext>,
    mailbox: Arc<Mailbox>,
    release_timeout: Duration,
    /// Where the group begins, in all of its topics.
    start: Start,
    owned: HashSet<TopicPartition>,
    admitted: Offsets,
    /// Partitions to be read again, and from where.
    rewinds: Offsets,
    handover: Option<Handover>,
    flow: Flow,
}

/// Partitions that are going.
struct Handover {
    list: TopicPartitionList,
    unreleased: HashSet<TopicPartition>,
    deadline: Instant,
}

/// Whether the thread goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Poll,
    Sleep,
    Leave,
}

impl PollThread {
    pub(super) fn new(consumer: BaseConsumer<GroupContext>, mailbox: Arc<Mailbox>, request: &SubscribeRequest) -> Self {
        Self {
            consumer,
            mailbox,
            release_timeout: request.release_timeout,
            start: request.topics.first().map_or_else(Start::default, |topic| topic.start),
            owned: HashSet::new(),
            admitted: HashMap::new(),
            rewinds: HashMap::new(),
            handover: None,
            flow: Flow::default(),
        }
    }

    pub(super) fn run(mut self) {
        let _end = End(self.mailbox.clone());
        loop {
            match self.turn() {
                Next::Poll => {}
                Next::Sleep => self.mailbox.wait(self.nap()),
                Next::Leave => break,
            }
        }
        self.leave();
    }

    fn turn(&mut self) -> Next {
        if let Some(orders) = self.mailbox.orders()
            && self.follow(orders) == Next::Leave
        {
            return Next::Leave;
        }
        for decision in self.consumer.context().decisions() {
            self.carry_out(decision);
        }
        self.hand_over();
        self.rewind();
        self.regulate();
        self.read()
    }

    fn follow(&mut self, orders: Orders) -> Next {
        self.store(orders.admitted);
        if orders.leave {
            return Next::Leave;
        }
        self.rewinds.extend(orders.rewound);
        if let Some(paused) = orders.paused {
            self.flow.want_paused(paused);
        }
        if let Some(handover) = &mut self.handover {
            handover.unreleased.retain(|partition| !orders.released.contains(partition));
        }
        Next::Poll
    }

    /// Only what is owned: of the others, the new owner reads again what was not committed in time.
    fn store(&mut self, mut admitted: Offsets) {
        admitted.retain(|partition, next| {
            self.owned.contains(partition) && self.admitted.get(partition).is_none_or(|stored| stored < next)
        });
        if admitted.is_empty() {
            return;
        }
        let stored = offsets(&admitted).and_then(|list| self.consumer.store_offsets(&list));
        if let Err(error) = stored {
            self.fail("offsets cannot be stored; their events may be delivered again", error);
        }
        self.admitted.extend(admitted);
    }

    fn carry_out(&mut self, decision: Decision) {
        match decision {
            Decision::Assign(list) => self.take_over(&list),
            Decision::Revoke(list) => {
                let partitions = wire::partitions(&list);
                let unreleased = partitions.iter().cloned().collect();
                self.handover = Some(Handover { list, unreleased, deadline: Instant::now() + self.release_timeout });
                if !partitions.is_empty() && !self.consumer.assignment_lost() {
                    self.mailbox.announce(Intake::Revoking(partitions));
                }
            }
        }
    }

    fn take_over(&mut self, list: &TopicPartitionList) {
        let partitions = wire::partitions(list);
        if self.start == Start::Latest
            && !partitions.is_empty()
            && let Err(error) = begin_at_the_end(&self.consumer, list)
        {
            self.fail("where the group begins was not written down; what is published now may be left out", error);
        }
        self.owned.extend(partitions.iter().cloned());
        self.flow.ownership_changed();
        if !partitions.is_empty() {
            self.mailbox.announce(Intake::Assigned(partitions));
        }
        if let Err(error) = rebalance::assign(&self.consumer, list) {
            self.fail("partitions cannot be taken over", error);
        }
    }

    /// Reads partitions again of which something was given back.
    fn rewind(&mut self) {
        for (partition, offset) in mem::take(&mut self.rewinds) {
            if self.owned.contains(&partition) {
                let to = Offset::Offset(offset);
                if let Err(error) = self.consumer.seek(&partition.topic, partition.partition, to, SEEK_PATIENCE) {
                    self.fail("what was given back cannot be read again yet", error);
                    self.rewinds.insert(partition, offset);
                    continue;
                }
            }
            self.mailbox.rewound(&partition);
        }
    }

    /// Lets the revoked partitions go, when it is time.
    fn hand_over(&mut self) {
        let Some(handover) = &self.handover else { return };
        let is_lost = self.consumer.assignment_lost();
        let is_late = Instant::now() >= handover.deadline;
        if !handover.unreleased.is_empty() && !is_lost && !is_late {
            return;
        }
        let Some(handover) = self.handover.take() else { return };
        let partitions = wire::partitions(&handover.list);
        if !is_lost {
            self.commit(&partitions);
        }
        if !handover.unreleased.is_empty() {
            self.mailbox.announce(Intake::Lost(handover.unreleased.into_iter().collect()));
        }
        for partition in &partitions {
            self.owned.remove(partition);
            self.admitted.remove(partition);
        }
        self.flow.ownership_changed();
        if let Err(error) = rebalance::unassign(&self.consumer, &handover.list) {
            self.fail("partitions cannot be handed over", error);
        }
    }

    /// Waits until the broker knows what was admitted, so that the next owner begins there.
    fn commit(&self, partitions: &[TopicPartition]) {
        let admitted: Offsets = partitions
            .iter()
            .filter_map(|partition| Some((partition.clone(), *self.admitted.get(partition)?)))
            .collect();
        if admitted.is_empty() {
            return;
        }
        let committed = offsets(&admitted).and_then(|list| self.consumer.commit(&list, CommitMode::Sync));
        if let Err(error) = committed {
            tracing::warn!(%error, "offsets were not committed; their events will be delivered again");
        }
    }

    /// Pauses and resumes in the client what the consumer and the mailbox ask for.
    fn regulate(&mut self) {
        if self.mailbox.has_room() {
            self.flow.mailbox_has_room();
        } else {
            self.flow.mailbox_is_full();
        }
        let Some(change) = self.flow.change(&self.owned) else { return };
        let paused = self.consumer.pause(&wire::list(&change.pause));
        match paused.and_then(|()| self.consumer.resume(&wire::list(&change.resume))) {
            Ok(()) => self.flow.changed(change),
            Err(error) => self.fail("partitions cannot be paused or resumed", error),
        }
    }

    fn read(&mut self) -> Next {
        if !self.flow.may_poll() {
            return Next::Sleep;
        }
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let next = loop {
            if messages.len() >= GULP || bytes >= GULP_BYTES {
                break Next::Poll;
            }
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    let message = wire::incoming(&message);
                    bytes += mailbox::size(&message);
                    messages.push(message);
                }
                Some(Err(error)) => break self.refused(error),
                // A callback ends a poll as an empty queue does, with more behind it.
                None if self.consumer.context().was_called_back() => break Next::Poll,
                None => break Next::Sleep,
            }
        };
        if !messages.is_empty() {
            self.mailbox.deliver(messages);
        }
        next
    }

    fn refused(&self, error: KafkaError) -> Next {
        let next = match error {
            KafkaError::MessageConsumptionFatal(_) => Next::Leave,
            _ => Next::Poll,
        };
        let cure = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                "a topic does not exist; create it"
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed) => {
                "reading is not allowed; grant `READ` on topic and group"
            }
            _ => "messages cannot be read now; the client keeps trying",
        };
        self.fail(cure, error);
        next
    }

    /// Lets everything go, and waits until the group knows.
    fn leave(mut self) {
        self.commit(&self.owned.iter().cloned().collect::<Vec<_>>());
        self.consumer.context().leave();
        let handover = self.handover.take().map(|handover| Decision::Revoke(handover.list));
        for decision in handover.into_iter().chain(self.consumer.context().decisions()) {
            let done = match decision {
                Decision::Assign(list) => rebalance::assign(&self.consumer, &list),
                Decision::Revoke(list) => rebalance::unassign(&self.consumer, &list),
            };
            if let Err(error) = done {
                tracing::warn!(%error, "a partition was not handed back in order; the group takes it back itself");
            }
        }
    }

    fn fail(&self, message: &str, error: KafkaError) {
        self.mailbox.fail(broker_error(message, error));
    }

    fn nap(&self) -> Duration {
        let left = self.handover.as_ref().map(|handover| handover.deadline.saturating_duration_since(Instant::now()));
        left.map_or(NAP, |left| left.min(NAP))
    }
}

fn offsets(admitted: &Offsets) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, next) in admitted {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*next))?;
    }
    Ok(list)
}

/// Tells the consumer's task that the thread has ended, however it did.
struct End(Arc<Mailbox>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}
