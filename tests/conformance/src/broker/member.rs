//! A member of a group, who watches that the broker keeps to the life of a partition.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tracked_events::broker::{IncomingMessage, Intake, Position, Subscription, TopicPartition};

use super::{Ground, dropped_after, within};

/// A subscription, and what is known of it.
///
/// Whatever a check is about, every member sees to it that a partition's messages come in their order, between its
/// assignment and its end, and not more at once than were asked for.
pub struct Member {
    ground: Arc<dyn Ground>,
    instance: String,
    subscription: Box<dyn Subscription>,
    own: BTreeSet<TopicPartition>,
    going: BTreeSet<TopicPartition>,
    last_offsets: HashMap<TopicPartition, i64>,
}

impl Member {
    pub(super) fn new(ground: Arc<dyn Ground>, instance: String, subscription: Box<dyn Subscription>) -> Self {
        let (own, going) = (BTreeSet::new(), BTreeSet::new());
        Self { ground, instance, subscription, own, going, last_offsets: HashMap::new() }
    }

    /// The instance that it is.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The partitions that it reads.
    #[must_use]
    pub fn own(&self) -> Vec<TopicPartition> {
        self.own.iter().cloned().collect()
    }

    /// Waits for the next thing to happen, however long that takes.
    pub async fn next(&mut self, max: usize) -> Intake {
        let intake = self.subscription.next(max).await.unwrap();
        self.note(max, intake)
    }

    /// Asks in vain again and again, each time a little longer, until there is an answer.
    pub async fn next_in_haste(&mut self, max: usize) -> Intake {
        let mut polls = 1;
        loop {
            if let Some(intake) = self.next_dropped_after(polls, max).await {
                return intake;
            }
            polls += 1;
        }
    }

    /// Asks, and drops the call after it was polled that often.
    pub async fn next_dropped_after(&mut self, polls: usize, max: usize) -> Option<Intake> {
        let intake = dropped_after(polls, self.subscription.next(max)).await?.unwrap();
        Some(self.note(max, intake))
    }

    /// Waits for that many partitions, and nothing else.
    pub async fn assigned(&mut self, count: usize) -> Vec<TopicPartition> {
        let mut assigned = Vec::new();
        while assigned.len() < count {
            match within("partitions to be assigned", self.next(0)).await {
                Intake::Assigned(partitions) => assigned.extend(partitions),
                other => panic!("expected {count} partitions, got {assigned:?}, then {other:?}"),
            }
        }
        assert_eq!(assigned.len(), count);
        assigned
    }

    /// Waits to be told what is to go, and nothing else.
    pub async fn revoking(&mut self) -> Vec<TopicPartition> {
        match within("partitions to be revoked", self.next(0)).await {
            Intake::Revoking(partitions) => partitions,
            other => panic!("expected to hand over partitions, got {other:?}"),
        }
    }

    /// Waits to be told what is to go to a second member, who gets nothing of it before it is released.
    pub async fn joined_by(&mut self, second: &mut Self) -> Vec<TopicPartition> {
        tokio::select! {
            going = self.revoking() => going,
            early = second.next(100) => panic!("the other has {early:?} before anything was released"),
        }
    }

    /// Waits to be told what is gone, and nothing else.
    pub async fn lost(&mut self) -> Vec<TopicPartition> {
        match within("partitions to be lost", self.next(0)).await {
            Intake::Lost(partitions) => partitions,
            other => panic!("expected to have lost partitions, got {other:?}"),
        }
    }

    /// Takes that many messages, and nothing else in between.
    pub async fn messages(&mut self, count: usize) -> Vec<IncomingMessage> {
        let mut messages = Vec::new();
        while messages.len() < count {
            match within("messages", self.next(count - messages.len())).await {
                Intake::Messages(more) => messages.extend(more),
                other => panic!("expected messages, got {other:?}"),
            }
        }
        messages
    }

    /// Admits messages, and tells the broker.
    pub async fn admit(&mut self, messages: &[IncomingMessage]) {
        let positions = positions(messages);
        self.ground.admit(&self.instance, &positions).await;
        within("the broker to be told", self.subscription.admitted(&positions)).await.unwrap();
    }

    /// Begins to tell the broker of messages that are admitted, and drops the call after it was polled that often.
    pub async fn admit_dropped_after(&mut self, polls: usize, messages: &[IncomingMessage]) {
        let positions = positions(messages);
        self.ground.admit(&self.instance, &positions).await;
        if let Some(told) = dropped_after(polls, self.subscription.admitted(&positions)).await {
            told.unwrap();
        }
    }

    /// Gives back messages, and all that came after them.
    pub async fn give_back(&mut self, messages: &[IncomingMessage]) {
        self.forget_order(messages);
        let positions = Position::earliest(messages);
        within("messages to be given back", self.subscription.give_back(&positions)).await;
    }

    /// Begins to give messages back, and drops the call after it was polled that often.
    pub async fn give_back_dropped_after(&mut self, polls: usize, messages: &[IncomingMessage]) {
        self.forget_order(messages);
        let positions = Position::earliest(messages);
        dropped_after(polls, self.subscription.give_back(&positions)).await;
    }

    /// Stops these partitions.
    pub fn pause(&mut self, partitions: &[TopicPartition]) {
        self.subscription.pause(partitions);
    }

    /// Lets these partitions flow again.
    pub fn resume(&mut self, partitions: &[TopicPartition]) {
        self.subscription.resume(partitions);
    }

    /// Lets partitions go.
    pub async fn release(&mut self, partitions: &[TopicPartition]) {
        within("partitions to be released", self.subscription.released(partitions)).await;
        self.going.retain(|going| !partitions.contains(going));
    }

    /// Begins to let partitions go, and drops the call after it was polled that often.
    pub async fn release_dropped_after(&mut self, polls: usize, partitions: &[TopicPartition]) {
        dropped_after(polls, self.subscription.released(partitions)).await;
    }

    /// Leaves.
    pub async fn close(self) {
        within("the group to be left", self.subscription.close()).await;
    }

    /// Begins to leave, and drops the call after it was polled that often.
    pub async fn close_dropped_after(self, polls: usize) {
        dropped_after(polls, self.subscription.close()).await;
    }

    fn note(&mut self, max: usize, intake: Intake) -> Intake {
        match &intake {
            Intake::Messages(messages) => self.note_messages(max, messages),
            Intake::Assigned(partitions) => {
                for partition in partitions {
                    assert!(self.own.insert(partition.clone()), "{partition:?} is assigned twice");
                    assert!(!self.going.contains(partition), "{partition:?} is assigned while it is going");
                    self.last_offsets.remove(partition);
                }
            }
            Intake::Revoking(partitions) => {
                for partition in partitions {
                    assert!(self.own.remove(partition), "{partition:?} is to go, and was not there");
                    self.going.insert(partition.clone());
                }
            }
            Intake::Lost(partitions) => {
                for partition in partitions {
                    let known = self.own.remove(partition) | self.going.remove(partition);
                    assert!(known, "{partition:?} is lost, and was not there");
                }
            }
        }
        intake
    }

    fn note_messages(&mut self, max: usize, messages: &[IncomingMessage]) {
        assert!((1..=max).contains(&messages.len()), "{} messages came, and {max} were asked for", messages.len());
        for message in messages {
            let (partition, offset) = match &message.position {
                Position::Offset { partition, offset, .. } => (Some(partition), Some(*offset)),
                Position::Tag { partition, .. } => (partition.as_ref(), None),
            };
            let Some(partition) = partition else { continue };
            assert_eq!(message.topic, partition.topic);
            assert!(self.own.contains(partition), "a message of {partition:?} came, which is not assigned");
            if let Some(offset) = offset {
                let last = self.last_offsets.insert(partition.clone(), offset);
                assert!(last.is_none_or(|last| last < offset), "{offset} of {partition:?} came after {last:?}");
            }
        }
    }

    fn forget_order(&mut self, messages: &[IncomingMessage]) {
        for message in messages {
            if let Position::Offset { partition, .. } = &message.position {
                self.last_offsets.remove(partition);
            }
        }
    }
}

fn positions(messages: &[IncomingMessage]) -> Vec<Position> {
    messages.iter().map(|message| message.position.clone()).collect()
}
