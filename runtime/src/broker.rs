//! The contract of a message broker: what the relay and the consumer ask of it.
//!
//! A broker is one folder in [`brokers`](crate::brokers) and passes one conformance suite. It promises:
//!
//! - **Nothing is forgotten**: what was not told [`admitted`](Subscription::admitted) is delivered again.
//! - **Order within a partition**: deliveries of a partition come in the order of their offsets.
//! - **Polling never waits for a handler**: the subscription keeps its membership alive by itself, whatever the
//!   consumer does with what it was given; back-pressure is [`pause`](Subscription::pause).
//! - **A partition changes hands cleanly**: before it goes, the consumer is told [`Intake::Revoking`] and may finish
//!   what it has; only then, or after the broker's own deadline, does another instance get it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::Serialize;

use crate::{
    envelope::Envelope,
    error::Result,
    listen::{Order, Start},
    store::{EventKind, Lease, SharedEnvelope},
};

/// A message broker.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// The broker's name, as `messaging.system` has it.
    fn system(&self) -> &'static str;

    /// How published rows reach it.
    fn outlet(&self) -> Outlet;

    /// Whether deliveries come from partitions that one instance of a group owns at a time. A broker that has both
    /// kinds says that it has partitions: work that came from none is everybody's.
    fn ownership(&self) -> Ownership;

    /// Joins a consumer group.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses; the message names the broker and the cure.
    async fn subscribe(&self, request: SubscribeRequest) -> Result<Box<dyn Subscription>>;

    /// Makes sure that topics are there, where the broker allows it.
    ///
    /// # Errors
    /// Which topic is missing, and how to make it.
    async fn ensure_topics(&self, topics: &[String]) -> Result<()>;

    /// Whether it can be used, for `doctor` and readiness.
    ///
    /// # Errors
    /// What is wrong, and the cure.
    async fn check(&self) -> Result<String>;
}

/// How published rows reach the broker.
#[derive(Clone)]
pub enum Outlet {
    /// The production log is the topic: the store gives rows their place in it.
    ProductionLog {
        /// How many partitions a new topic gets.
        partitions: u32,
    },
    /// Messages are sent, and acknowledged.
    Producer(Arc<dyn Producer>),
}

/// Whether partitions are owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// One instance of a group at a time owns a partition, and runs its retries.
    Partitions,
    /// Instances compete for every message.
    Competing,
}

/// Sends messages.
#[async_trait]
pub trait Producer: Send + Sync {
    /// Sends a batch, all of it under way at once, and waits for every acknowledgement. One result for each message,
    /// in their order.
    ///
    /// Messages of one key arrive in their order. After one of them is refused, the later ones of its key in the
    /// batch are not sent, or are taken back before the broker has them, and come back as [`SendError::Held`]. A
    /// message that the broker refuses for its content does not take others down with it, although the broker may
    /// refuse them in one piece: they are sent again without it.
    ///
    /// Not cancel safe: what is under way when the future is dropped may arrive, and nobody learns of it.
    async fn send(&self, messages: Vec<OutgoingMessage>) -> Vec<Result<Acknowledgement, SendError>>;
}

/// A message to send.
#[derive(Clone, Debug)]
pub struct OutgoingMessage {
    /// The topic.
    pub topic: String,
    /// The event.
    pub envelope: Envelope,
    /// What kind of event it is.
    pub kind: EventKind,
    /// The service, for `ce_source`.
    pub source: String,
}

/// The broker has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The partition, on brokers that have them.
    pub partition: Option<i32>,
    /// The offset, on brokers that have them.
    pub offset: Option<i64>,
}

/// The broker does not have it, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// It may work later: the broker was away, refused for now, or has no such topic yet. It may also have arrived
    /// without our learning of it.
    Transient(String),
    /// It will never work: too large, unroutable, not allowed.
    Permanent(String),
    /// Not sent, since an earlier message of its key was refused. Nothing is wrong with the message itself.
    Held,
}

/// What to join.
#[derive(Clone, Debug)]
pub struct SubscribeRequest {
    /// The consumer group.
    pub group: String,
    /// The topics.
    pub topics: Vec<TopicSubscription>,
    /// The instance that joins.
    pub instance: String,
    /// How long the broker may wait for [`Subscription::released`] before a partition goes all the same. Shorter than
    /// the broker's own patience with a member, or joining is refused; and no longer than need be, since a broker may
    /// hold back all of the instance's partitions until then.
    pub release_timeout: Duration,
}

/// A topic to join.
#[derive(Clone, Debug)]
pub struct TopicSubscription {
    /// The topic.
    pub topic: String,
    /// Whether a listener needs the events of a key in order.
    pub order: Order,
    /// Where a group that the broker does not know begins.
    pub start: Start,
}

/// A place in a consumer group.
///
/// One task owns it. Every method is cancel safe. Of a partition the task sees [`Intake::Assigned`], then messages,
/// then [`Intake::Revoking`] or [`Intake::Lost`], and then nothing until it is assigned again.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for the next thing to happen; at most `max` deliveries. With a `max` of 0 there are only news: that is
    /// how the caller stays reachable while it has no room.
    ///
    /// What is not asked for is held back without harm to the membership, for however long.
    ///
    /// # Errors
    /// When the broker is away. The caller tries again after a pause; the subscription has not lost its place.
    async fn next(&mut self, max: usize) -> Result<Intake>;

    /// Everything up to these positions, or with these tags, is durably admitted. The broker may learn it later, but
    /// before the partition goes or the group is left. Positions in partitions that are gone, and tags of an earlier
    /// channel, are passed over: they are delivered again, to whoever has them now.
    ///
    /// # Errors
    /// When the broker could not be told: it will deliver again, and the record will recognise it.
    async fn admitted(&mut self, positions: &[Position]) -> Result<()>;

    /// These were taken and could not be admitted. They come again, before anything that came after them in their
    /// partitions: what the caller took of that meanwhile, it drops. Without this, a later position would say of them
    /// that they are admitted. Of partitions that are gone it means nothing.
    async fn give_back(&mut self, positions: &[Position]);

    /// Stops deliveries of these partitions, without leaving the group. Nothing of them comes any more, not even what
    /// was read ahead; it comes after the resumption. A pause ends with the assignment.
    fn pause(&mut self, partitions: &[TopicPartition]);

    /// Lets them flow again.
    fn resume(&mut self, partitions: &[TopicPartition]);

    /// The answer to [`Intake::Revoking`]: all that was taken of these partitions is settled or given back, and what
    /// was admitted of them was told. Does not wait for the partitions to be gone. Of partitions that are not going,
    /// or gone already, it means nothing.
    async fn released(&mut self, partitions: &[TopicPartition]);

    /// Leaves the group, so that the others take over at once.
    async fn close(self: Box<Self>);
}

/// What happened on a subscription.
#[derive(Debug)]
pub enum Intake {
    /// Messages, in order within each partition.
    Messages(Vec<IncomingMessage>),
    /// These partitions are the instance's own from now on. Their open work is loaded before their messages are read.
    Assigned(Vec<TopicPartition>),
    /// These partitions are about to go: finish, then answer [`Subscription::released`]. No messages of theirs come
    /// any more.
    Revoking(Vec<TopicPartition>),
    /// These partitions are gone already; another instance may have them. It also follows [`Revoking`](Self::Revoking)
    /// when the release took too long.
    Lost(Vec<TopicPartition>),
}

/// A message as the broker delivered it.
#[derive(Clone, Debug)]
pub struct IncomingMessage {
    /// The topic.
    pub topic: String,
    /// The event, read by the rules of [`Envelope::from_wire`].
    pub envelope: SharedEnvelope,
    /// Where it stands, and how the broker is told that it is admitted.
    pub position: Position,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// Where a message stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// In a partition; everything up to it is meant.
    Offset {
        /// The partition.
        partition: TopicPartition,
        /// The message's own offset.
        offset: i64,
        /// The lease under which the embedded broker's position moves, in the same transaction as the admission.
        lease: Option<EmbeddedLease>,
    },
    /// On a channel; it alone is meant.
    Tag {
        /// The partition queue that it came from; `None` for a queue for which instances compete.
        partition: Option<TopicPartition>,
        /// Which life of the channel the tag belongs to: tags of an earlier one mean nothing.
        channel: u64,
        /// The delivery tag.
        tag: u64,
    },
}

impl Position {
    /// The partition and offset, on brokers that have them.
    #[must_use]
    pub fn coordinates(&self) -> (Option<i32>, Option<i64>) {
        match self {
            Self::Offset { partition, offset, .. } => (Some(partition.partition), Some(*offset)),
            Self::Tag { partition, .. } => (partition.as_ref().map(|partition| partition.partition), None),
        }
    }

    /// The positions from which these messages can be given back: the first of each partition, and every tag.
    #[must_use]
    pub fn earliest(messages: &[IncomingMessage]) -> Vec<Self> {
        let mut seen = HashSet::new();
        let positions = messages.iter().map(|message| &message.position);
        let earliest = positions.filter(|position| match position {
            Self::Offset { partition, .. } => seen.insert(partition),
            Self::Tag { .. } => true,
        });
        earliest.cloned().collect()
    }
}

/// The lease of a group on a partition of the embedded broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedLease {
    /// The consumer group.
    pub group: String,
    /// The lease.
    pub lease: Arc<Lease>,
}
