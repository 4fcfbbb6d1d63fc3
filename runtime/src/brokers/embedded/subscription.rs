//! One instance's place in a consumer group of the embedded broker.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    broker::{
        EmbeddedLease, IncomingMessage, Intake, Position, SubscribeRequest, Subscription, TopicPartition,
        TopicSubscription,
    },
    brokers::BrokerOptions,
    clock::Clock,
    error::Result,
    listen::Start,
    publish::run_to_the_end,
    store::{Lease, SharedStore},
    supervisor::{Change, Share},
};

/// The first wait after a partition was read to its end; each later one is twice as long, up to the poll interval.
const FIRST_POLL: Duration = Duration::from_millis(5);

pub(super) struct EmbeddedSubscription {
    store: SharedStore,
    clock: Clock,
    group: String,
    starts: BTreeMap<String, Start>,
    release_timeout: Duration,
    share: Share,
    /// What is read, and from where.
    own: BTreeMap<TopicPartition, Reading>,
    /// Taken over, and not read yet.
    gaining: VecDeque<Lease>,
    /// What happened and was not told yet.
    news: VecDeque<Intake>,
    published: watch::Receiver<u64>,
    poll_interval: Duration,
    poll: Duration,
}

struct Reading {
    next_offset: i64,
    lease: Arc<Lease>,
    flow: Flow,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    Paused,
    /// It is to be released, since then.
    Leaving(Instant),
}

impl Reading {
    fn is_late(&self, release_timeout: Duration) -> bool {
        matches!(self.flow, Flow::Leaving(since) if since.elapsed() >= release_timeout)
    }

    fn is_leaving(&self) -> bool {
        matches!(self.flow, Flow::Leaving(_))
    }
}

impl EmbeddedSubscription {
    pub(super) async fn join(options: &BrokerOptions, request: SubscribeRequest) -> Result<Self> {
        let topics: Vec<String> = request.topics.iter().map(|topic| topic.topic.clone()).collect();
        let now = options.clock.now();
        let partitions = options.store.ensure_topics(&topics, options.embedded_partitions, now).await?;
        let resources = partitions.iter().map(|partition| resource(&request.group, partition)).collect();
        let scope = format!("group/{}", request.group);
        // Written down at once: a group new to a topic begins now, not when it gets round to each partition.
        for topic in &request.topics {
            let own = partitions.iter().filter(|partition| partition.topic == topic.topic).cloned().collect::<Vec<_>>();
            options.store.positions(&request.group, &own, topic.start, now).await?;
        }
        Ok(Self {
            share: Share::new(Arc::clone(&options.store), options.clock.clone(), scope, resources, request.instance),
            store: Arc::clone(&options.store),
            clock: options.clock.clone(),
            group: request.group,
            release_timeout: request.release_timeout,
            starts: request.topics.into_iter().map(|TopicSubscription { topic, start, .. }| (topic, start)).collect(),
            own: BTreeMap::new(),
            gaining: VecDeque::new(),
            news: VecDeque::new(),
            published: options.published.clone(),
            poll_interval: options.poll_interval,
            poll: FIRST_POLL,
        })
    }

    /// Takes a fair share of the partitions, and notes what changed.
    async fn rebalance(&mut self) -> Result<()> {
        let Change { gained, surplus, lost } = self.share.renew().await?;
        self.gaining.retain(|lease| !lost.contains(lease));
        self.gaining.extend(gained);
        let lost: Vec<_> = lost.iter().filter_map(|lease| self.partition_of(lease)).collect();
        self.own.retain(|partition, _| !lost.contains(partition));
        if !lost.is_empty() {
            self.news.push_back(Intake::Lost(lost));
        }
        let (mut leaving, now) = (Vec::new(), Instant::now());
        let surplus: Vec<_> = surplus.iter().filter_map(|lease| self.partition_of(lease)).collect();
        for partition in surplus {
            if let Some(reading) = self.own.get_mut(&partition).filter(|reading| !reading.is_leaving()) {
                reading.flow = Flow::Leaving(now);
                leaving.push(partition);
            }
        }
        if !leaving.is_empty() {
            self.news.push_back(Intake::Revoking(leaving));
        }
        Ok(())
    }

    /// Begins to read partitions that were taken over, once their open work was looked at. What was not gained yet
    /// when this future is dropped, or fails, is gained by the next call.
    async fn gain(&mut self) -> Result<()> {
        let gaining: Vec<_> =
            self.gaining.iter().filter_map(|lease| Some((self.partition_of(lease)?, lease.clone()))).collect();
        if gaining.is_empty() {
            return Ok(());
        }
        let partitions: Vec<_> = gaining.iter().map(|(partition, _)| partition.clone()).collect();
        let mut offsets = BTreeMap::new();
        for (topic, start) in &self.starts {
            let of_topic: Vec<_> = partitions.iter().filter(|partition| partition.topic == *topic).cloned().collect();
            if of_topic.is_empty() {
                continue;
            }
            let (store, group, now, start) = (Arc::clone(&self.store), self.group.clone(), self.clock.now(), *start);
            let wanted = of_topic.clone();
            let found = run_to_the_end(async move { store.positions(&group, &wanted, start, now).await }).await?;
            offsets.extend(of_topic.into_iter().zip(found));
        }
        self.gaining.clear();
        for (partition, lease) in gaining {
            let next_offset = offsets.get(&partition).copied().unwrap_or(0);
            self.own.insert(partition, Reading { next_offset, lease: Arc::new(lease), flow: Flow::Open });
        }
        self.news.push_back(Intake::Assigned(partitions));
        Ok(())
    }

    fn partition_of(&self, lease: &Lease) -> Option<TopicPartition> {
        let place = lease.resource.strip_prefix("group/")?.strip_prefix(self.group.as_str())?.strip_prefix('/')?;
        let (topic, partition) = place.rsplit_once('/')?;
        Some(TopicPartition { topic: topic.to_owned(), partition: partition.parse().ok()? })
    }

    async fn read(&mut self, max: usize) -> Result<Vec<IncomingMessage>> {
        let open = self.own.iter().filter(|(_, reading)| reading.flow == Flow::Open);
        let from: Vec<_> = open.map(|(partition, reading)| (partition.clone(), reading.next_offset)).collect();
        if from.is_empty() {
            return Ok(Vec::new());
        }
        let logged = self.store.read(&from, u32::try_from(max).unwrap_or(u32::MAX)).await?;
        let mut messages = Vec::with_capacity(logged.len());
        for message in logged {
            let Some((partition, _)) = from.get(message.partition) else { continue };
            let Some(reading) = self.own.get_mut(partition) else { continue };
            reading.next_offset = reading.next_offset.max(message.offset.saturating_add(1));
            let lease = EmbeddedLease { group: self.group.clone(), lease: Arc::clone(&reading.lease) };
            messages.push(IncomingMessage {
                topic: partition.topic.clone(),
                envelope: message.envelope,
                position: Position::Offset { partition: partition.clone(), offset: message.offset, lease: Some(lease) },
            });
        }
        Ok(messages)
    }

    /// Lets partitions go that were not released in time.
    async fn evict(&mut self) {
        let late = self.own.iter().filter(|(_, reading)| reading.is_late(self.release_timeout));
        let late: Vec<_> = late.map(|(partition, _)| partition.clone()).collect();
        if !late.is_empty() {
            self.let_go(&late).await;
            self.news.push_back(Intake::Lost(late));
        }
    }

    async fn let_go(&mut self, partitions: &[TopicPartition]) {
        let resources: Vec<_> = partitions.iter().map(|partition| resource(&self.group, partition)).collect();
        self.share.release_some(&resources).await;
        self.own.retain(|partition, _| !partitions.contains(partition));
    }

    fn set_flow(&mut self, partitions: &[TopicPartition], from: Flow, to: Flow) {
        for partition in partitions {
            if let Some(reading) = self.own.get_mut(partition).filter(|reading| reading.flow == from) {
                reading.flow = to;
            }
        }
    }
}

#[async_trait]
impl Subscription for EmbeddedSubscription {
    async fn next(&mut self, max: usize) -> Result<Intake> {
        loop {
            if self.share.is_due(Instant::now()) {
                self.rebalance().await?;
            }
            self.evict().await;
            self.gain().await?;
            if let Some(news) = self.news.pop_front() {
                return Ok(news);
            }
            self.published.mark_unchanged();
            let messages = if max == 0 { Vec::new() } else { self.read(max).await? };
            if !messages.is_empty() {
                self.poll = FIRST_POLL;
                return Ok(Intake::Messages(messages));
            }
            let wait = if max == 0 { self.poll_interval } else { self.poll };
            tokio::select! {
                changed = self.published.changed(), if max > 0 => if changed.is_err() {
                    // No relay in this process any more: the poll alone is left.
                    tokio::time::sleep(wait).await;
                },
                () = tokio::time::sleep(wait) => self.poll = (self.poll * 2).min(self.poll_interval),
            }
        }
    }

    /// The group's position moved in the admission's own transaction.
    async fn admitted(&mut self, _positions: &[Position]) -> Result<()> {
        Ok(())
    }

    async fn give_back(&mut self, positions: &[Position]) {
        for position in positions {
            let Position::Offset { partition, offset, .. } = position else { continue };
            if let Some(reading) = self.own.get_mut(partition) {
                reading.next_offset = reading.next_offset.min(*offset);
            }
        }
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.set_flow(partitions, Flow::Open, Flow::Paused);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        self.set_flow(partitions, Flow::Paused, Flow::Open);
    }

    async fn released(&mut self, partitions: &[TopicPartition]) {
        let is_leaving = |partition: &&TopicPartition| self.own.get(*partition).is_some_and(Reading::is_leaving);
        let leaving: Vec<_> = partitions.iter().filter(is_leaving).cloned().collect();
        if !leaving.is_empty() {
            self.let_go(&leaving).await;
        }
    }

    async fn close(self: Box<Self>) {
        self.share.leave().await;
    }
}

/// The lease of a group on a partition.
fn resource(group: &str, partition: &TopicPartition) -> String {
    format!("group/{group}/{}/{}", partition.topic, partition.partition)
}
