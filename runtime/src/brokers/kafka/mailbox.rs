//! Where the poll thread and the consumer's task meet.
//!
//! Invariants: news comes before messages, so a partition's first message comes after the news of its assignment; a
//! partition that is going or gone has no messages here; a paused partition's messages stay here and are handed out
//! when it is resumed. Memory is bounded: the thread stops reading while [`Limits`] is reached, and what a pause holds
//! back was within that limit when it came. No lock is held across a call of the client library.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    broker::{IncomingMessage, Intake, Position, TopicPartition},
    error::{Error, ErrorKind, Result},
};

/// How much is read ahead of the consumer's task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { messages: 2_000, bytes: 8 << 20 }
    }
}

/// Offsets to store: the first that is not admitted yet.
pub(super) type Offsets = HashMap<TopicPartition, i64>;

/// What the consumer's task asks of the poll thread.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// The partitions that are to be paused, when that changed.
    pub(super) paused: Option<HashSet<TopicPartition>>,
    pub(super) admitted: Offsets,
    /// Where partitions are to be read again from.
    pub(super) rewound: Offsets,
    pub(super) released: HashSet<TopicPartition>,
    pub(super) leave: bool,
}

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    limits: Limits,
    for_thread: Condvar,
    for_task: Notify,
}

#[derive(Debug, Default)]
struct State {
    news: VecDeque<Intake>,
    ready: Ready,
    parked: HashMap<TopicPartition, VecDeque<IncomingMessage>>,
    /// Messages of these are too late: they will be read again from further back.
    rewinding: HashSet<TopicPartition>,
    failure: Option<Error>,
    orders: Orders,
    pauses_changed: bool,
    /// Something is there for the thread to look at.
    called: bool,
    /// The limit was reached, and half of it is not free again yet.
    filled: bool,
    /// The thread has ended.
    ended: bool,
}

#[derive(Debug, Default)]
struct Ready {
    messages: VecDeque<IncomingMessage>,
    bytes: usize,
}

/// The consumer's task.
impl Mailbox {
    /// Waits for the next thing to hand out. Cancel safe: nothing is taken before it is returned.
    pub(super) async fn next(&self, max: usize) -> Result<Intake> {
        loop {
            if let Some(intake) = self.take(max) {
                return intake;
            }
            self.for_task.notified().await;
        }
    }

    fn take(&self, max: usize) -> Option<Result<Intake>> {
        let mut state = self.lock();
        if let Some(news) = state.news.pop_front() {
            return Some(Ok(news));
        }
        let messages = state.ready.take(max);
        if messages.is_empty() {
            return state.failure.take().map(Err).or_else(|| state.ended.then(|| Err(ended())));
        }
        if state.filled && self.is_half_empty(&state) {
            state.called = true;
            self.for_thread.notify_one();
        }
        Some(Ok(Intake::Messages(messages)))
    }

    pub(super) fn pause(&self, partitions: &[TopicPartition]) {
        self.order(|state| {
            for partition in partitions {
                let parked = state.ready.remove(|message| is_of(message, partition));
                state.parked.entry(partition.clone()).or_default().extend(parked);
            }
            state.pauses_changed = true;
        });
    }

    pub(super) fn resume(&self, partitions: &[TopicPartition]) {
        self.order(|state| {
            for partition in partitions {
                let parked = state.parked.remove(partition).unwrap_or_default();
                parked.into_iter().for_each(|message| state.ready.push(message));
            }
            state.pauses_changed = true;
        });
        self.for_task.notify_one();
    }

    pub(super) fn admitted(&self, positions: &[Position]) {
        self.order(|state| {
            for position in positions {
                if let Position::Offset { partition, offset, .. } = position {
                    let next = state.orders.admitted.entry(partition.clone()).or_insert(0);
                    *next = (*next).max(offset + 1);
                }
            }
        });
    }

    pub(super) fn give_back(&self, positions: &[Position]) {
        self.order(|state| {
            for position in positions {
                let Position::Offset { partition, offset, .. } = position else { continue };
                state.ready.remove(|message| is_of(message, partition));
                if let Some(parked) = state.parked.get_mut(partition) {
                    parked.clear();
                }
                state.rewinding.insert(partition.clone());
                let first = state.orders.rewound.entry(partition.clone()).or_insert(*offset);
                *first = (*first).min(*offset);
            }
        });
    }

    pub(super) fn released(&self, partitions: &[TopicPartition]) {
        self.order(|state| state.orders.released.extend(partitions.iter().cloned()));
    }

    pub(super) fn leave(&self) {
        self.order(|state| state.orders.leave = true);
    }

    /// Waits until the thread has left the group and ended.
    pub(super) async fn ended(&self) {
        while !self.lock().ended {
            self.for_task.notified().await;
        }
    }

    fn order(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.called = true;
        self.for_thread.notify_one();
    }
}

/// The poll thread.
impl Mailbox {
    /// Takes the orders, if there may be any.
    pub(super) fn orders(&self) -> Option<Orders> {
        let mut state = self.lock();
        if !mem::take(&mut state.called) {
            return None;
        }
        let mut orders = mem::take(&mut state.orders);
        if mem::take(&mut state.pauses_changed) {
            orders.paused = Some(state.parked.keys().cloned().collect());
        }
        Some(orders)
    }

    /// Sleeps until somebody calls, at most for `longest`.
    pub(super) fn wait(&self, longest: Duration) {
        let state = self.lock();
        let waited = self.for_thread.wait_timeout_while(state, longest, |state| !state.called);
        drop(waited);
    }

    /// Wakes the thread.
    pub(super) fn call(&self) {
        self.order(|_| ());
    }

    pub(super) fn deliver(&self, messages: impl IntoIterator<Item = IncomingMessage>) {
        let mut state = self.lock();
        for message in messages {
            if partition_of(&message).is_some_and(|partition| state.rewinding.contains(partition)) {
                continue;
            }
            let parked = partition_of(&message).and_then(|partition| state.parked.get_mut(partition));
            match parked {
                Some(parked) => parked.push_back(message),
                None => state.ready.push(message),
            }
        }
        drop(state);
        self.for_task.notify_one();
    }

    /// What comes of the partition now is of where it was rewound to.
    pub(super) fn rewound(&self, partition: &TopicPartition) {
        let mut state = self.lock();
        // Unless it was given back again in the meantime.
        if !state.orders.rewound.contains_key(partition) {
            state.rewinding.remove(partition);
        }
    }

    /// Tells the consumer; of partitions that are going or gone, it takes back what was not handed out. A pause ends
    /// with them.
    pub(super) fn announce(&self, news: Intake) {
        let mut state = self.lock();
        if let Intake::Assigned(partitions) = &news {
            partitions.iter().for_each(|partition| drop(state.parked.remove(partition)));
            state.pauses_changed = true;
        }
        if let Intake::Revoking(partitions) | Intake::Lost(partitions) = &news {
            let gone: HashSet<_> = partitions.iter().collect();
            state.ready.remove(|message| partition_of(message).is_some_and(|partition| gone.contains(partition)));
            state.parked.retain(|partition, _| !gone.contains(partition));
        }
        state.news.push_back(news);
        drop(state);
        self.for_task.notify_one();
    }

    pub(super) fn fail(&self, failure: Error) {
        self.lock().failure = Some(failure);
        self.for_task.notify_one();
    }

    /// Whether more may be read: until the limit is reached, and then again when half of it is free.
    pub(super) fn has_room(&self) -> bool {
        let mut state = self.lock();
        state.filled = self.is_full(&state) || (state.filled && !self.is_half_empty(&state));
        !state.filled
    }

    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.for_task.notify_one();
    }

    fn is_full(&self, state: &State) -> bool {
        state.ready.messages.len() >= self.limits.messages || state.ready.bytes >= self.limits.bytes
    }

    fn is_half_empty(&self, state: &State) -> bool {
        state.ready.messages.len() < self.limits.messages.div_ceil(2)
            && state.ready.bytes < self.limits.bytes.div_ceil(2)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ready {
    fn push(&mut self, message: IncomingMessage) {
        self.bytes += size(&message);
        self.messages.push_back(message);
    }

    fn take(&mut self, max: usize) -> Vec<IncomingMessage> {
        let count = max.min(self.messages.len());
        let taken: Vec<_> = self.messages.drain(..count).collect();
        self.bytes -= taken.iter().map(size).sum::<usize>();
        taken
    }

    fn remove(&mut self, which: impl Fn(&IncomingMessage) -> bool) -> Vec<IncomingMessage> {
        let (removed, kept): (VecDeque<_>, _) = mem::take(&mut self.messages).into_iter().partition(which);
        self.messages = kept;
        self.bytes -= removed.iter().map(size).sum::<usize>();
        removed.into()
    }
}

pub(super) fn size(message: &IncomingMessage) -> usize {
    let envelope = &message.envelope;
    let headers: usize = envelope.headers.iter().map(|header| header.name.len() + header.value.len()).sum();
    envelope.payload.as_ref().map_or(0, Vec::len) + envelope.key.as_ref().map_or(0, Vec::len) + headers
}

fn partition_of(message: &IncomingMessage) -> Option<&TopicPartition> {
    match &message.position {
        Position::Offset { partition, .. } => Some(partition),
        Position::Tag { .. } => None,
    }
}

fn is_of(message: &IncomingMessage, partition: &TopicPartition) -> bool {
    partition_of(message) == Some(partition)
}

fn ended() -> Error {
    Error::new(ErrorKind::Broker, "the subscription has ended; subscribe again")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::envelope::Envelope;

    fn partition(partition: i32) -> TopicPartition {
        TopicPartition { topic: "orders".to_owned(), partition }
    }

    fn message(of: i32, offset: i64) -> IncomingMessage {
        IncomingMessage {
            topic: "orders".to_owned(),
            envelope: Arc::new(Envelope::from_wire(None, Some(vec![0; 10]), Vec::new(), None)),
            position: Position::Offset { partition: partition(of), offset, lease: None },
        }
    }

    fn offsets(intake: Option<Result<Intake>>) -> Vec<(i32, i64)> {
        match intake {
            Some(Ok(Intake::Messages(messages))) => messages
                .iter()
                .filter_map(|message| match message.position.coordinates() {
                    (Some(partition), Some(offset)) => Some((partition, offset)),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn who_asks_for_no_messages_gets_only_news() {
        let mailbox = Mailbox::default();
        mailbox.deliver([message(0, 0)]);
        assert!(mailbox.take(0).is_none());
        mailbox.announce(Intake::Assigned(vec![partition(1)]));
        assert!(matches!(mailbox.take(0), Some(Ok(Intake::Assigned(_)))));
    }

    #[test]
    fn what_is_left_of_a_partition_that_goes_is_taken_back() {
        let mailbox = Mailbox::default();
        mailbox.deliver([message(0, 0), message(1, 0), message(0, 1)]);
        mailbox.announce(Intake::Revoking(vec![partition(0)]));
        assert!(matches!(mailbox.take(9), Some(Ok(Intake::Revoking(_)))));
        assert_eq!(offsets(mailbox.take(9)), [(1, 0)]);
        assert!(mailbox.take(9).is_none());
    }

    #[test]
    fn a_paused_partition_waits_whole_and_the_others_flow() {
        let mailbox = Mailbox::default();
        mailbox.deliver([message(0, 0), message(1, 0)]);
        mailbox.pause(&[partition(0)]);
        mailbox.deliver([message(0, 1), message(1, 1)]);
        assert_eq!(offsets(mailbox.take(9)), [(1, 0), (1, 1)]);
        mailbox.resume(&[partition(0)]);
        assert_eq!(offsets(mailbox.take(9)), [(0, 0), (0, 1)]);
    }

    #[test]
    fn a_pause_ends_with_the_assignment() {
        let mailbox = Mailbox::default();
        mailbox.pause(&[partition(0)]);
        assert_eq!(mailbox.orders().and_then(|orders| orders.paused), Some(HashSet::from([partition(0)])));
        mailbox.announce(Intake::Lost(vec![partition(0)]));
        mailbox.announce(Intake::Assigned(vec![partition(0)]));
        mailbox.deliver([message(0, 7)]);
        assert!(mailbox.take(9).is_some_and(|intake| matches!(intake, Ok(Intake::Lost(_)))));
        assert!(mailbox.take(9).is_some_and(|intake| matches!(intake, Ok(Intake::Assigned(_)))));
        assert_eq!(offsets(mailbox.take(9)), [(0, 7)]);
    }

    #[test]
    fn what_came_after_something_given_back_is_dropped_until_it_comes_again() {
        let mailbox = Mailbox::default();
        mailbox.deliver([message(0, 5), message(1, 0)]);
        let given_back = [message(0, 3).position, message(0, 2).position];
        mailbox.give_back(&given_back);
        mailbox.deliver([message(0, 6)]);
        assert_eq!(offsets(mailbox.take(9)), [(1, 0)]);
        assert_eq!(mailbox.orders().map(|orders| orders.rewound), Some(HashMap::from([(partition(0), 2)])));
        mailbox.rewound(&partition(0));
        mailbox.deliver([message(0, 2)]);
        assert_eq!(offsets(mailbox.take(9)), [(0, 2)]);
    }

    #[test]
    fn a_full_mailbox_has_room_again_when_half_of_it_is_free() {
        let mailbox = Mailbox { limits: Limits { messages: 4, bytes: 1_000 }, ..Mailbox::default() };
        mailbox.deliver((0..4).map(|offset| message(0, offset)));
        assert!(!mailbox.has_room());
        mailbox.take(2);
        assert!(!mailbox.has_room(), "half is still taken");
        mailbox.take(1);
        assert!(mailbox.has_room());
        assert!(mailbox.orders().is_some(), "the thread was not called");
    }

    #[test]
    fn large_messages_fill_it_as_many_small_ones_do() {
        let mailbox = Mailbox { limits: Limits { messages: 1_000, bytes: 30 }, ..Mailbox::default() };
        mailbox.deliver((0..3).map(|offset| message(0, offset)));
        assert!(!mailbox.has_room());
    }
}
