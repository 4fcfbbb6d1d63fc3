//! Intake of one consumer group: poll, admit, tell the broker.
//!
//! The loop never waits for a handler. While a batch is being admitted the next one is fetched; while every lane is
//! full, nothing is fetched. A partition's open work is known to the lanes before its first message is read, and is
//! settled or given back before the partition goes.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{Group, OnDeadLetter, admit::admit};
use crate::{
    broker::{IncomingMessage, Intake, Position, Subscription, TopicPartition},
    error::{Error, ErrorKind, Result, chain},
    store::PartitionScope,
};

/// The shortest and the longest pause before a broker that is away is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Consumes until the group stops, then leaves the broker's group.
pub(crate) async fn run(group: Arc<Group>, subscription: Box<dyn Subscription>) {
    let mut consumer = Consumer { group, subscription, partitions: BTreeSet::new(), pause: PAUSES.0 };
    let stopping = consumer.group.stopping.clone();
    while !stopping.is_cancelled() {
        consumer.turn().await;
    }
    consumer.leave().await;
}

/// What became of messages that were fetched ahead.
enum Held {
    /// They can run.
    Room(Vec<IncomingMessage>),
    /// They were given back, because this came.
    News(Result<Intake>),
    /// They were given back, because the group stops.
    Stopping,
}

struct Consumer {
    group: Arc<Group>,
    subscription: Box<dyn Subscription>,
    /// The partitions that are this instance's own.
    partitions: BTreeSet<TopicPartition>,
    pause: Duration,
}

impl Consumer {
    /// One turn of the loop: something is taken in, or there is no room.
    async fn turn(&mut self) {
        let stopping = self.group.stopping.clone();
        if !self.group.has_room() {
            tokio::select! {
                () = self.group.room.notified() => {}
                () = stopping.cancelled() => {}
                intake = self.subscription.next(0) => self.take(intake).await,
            }
            return;
        }
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            intake = self.subscription.next(self.group.parts.batch) => self.take(intake).await,
        }
    }

    async fn take(&mut self, intake: Result<Intake>) {
        let intake = match intake {
            Ok(intake) => intake,
            Err(error) => return self.wait_for_broker(&error).await,
        };
        self.pause = PAUSES.0;
        match intake {
            Intake::Messages(messages) => self.admit_all(messages).await,
            Intake::Assigned(partitions) => self.assigned(partitions).await,
            Intake::Revoking(partitions) => self.revoking(&partitions).await,
            Intake::Lost(partitions) => self.lost(&partitions),
        }
    }

    /// Admits batch after batch, fetching each while the one before is being written.
    async fn admit_all(&mut self, messages: Vec<IncomingMessage>) {
        let mut messages = messages;
        loop {
            let group = Arc::clone(&self.group);
            let taken = Position::earliest(&messages);
            let admission = tokio::spawn(async move { admit(&group, messages).await });
            let fetched = self.fetch_beside(admission, taken).await;
            match fetched {
                Some(Ok(Intake::Messages(next))) => match self.hold(next).await {
                    Held::Room(next) => messages = next,
                    Held::News(other) => return Box::pin(self.take(other)).await,
                    Held::Stopping => return,
                },
                Some(other) => return Box::pin(self.take(other)).await,
                None => return,
            }
        }
    }

    /// Keeps messages that were fetched ahead until they can run: admitted before, they would only be written down to
    /// wait, and be claimed one handful at a time. If anything else comes first, they are given back to the broker.
    async fn hold(&mut self, messages: Vec<IncomingMessage>) -> Held {
        let stopping = self.group.stopping.clone();
        let interrupted = loop {
            if self.group.has_room() {
                return Held::Room(messages);
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => break Held::Stopping,
                () = self.group.room.notified() => {}
                news = self.subscription.next(0) => break Held::News(news),
            }
        };
        self.subscription.give_back(&Position::earliest(&messages)).await;
        interrupted
    }

    /// Waits for an admission, and tells the broker. What came in meanwhile is returned, if anything did.
    async fn fetch_beside(
        &mut self,
        mut admission: tokio::task::JoinHandle<Result<Vec<Position>>>,
        taken: Vec<Position>,
    ) -> Option<Result<Intake>> {
        let mut fetched = None;
        let admitted = loop {
            let fetching = fetched.is_none() && self.group.has_room() && !self.group.stopping.is_cancelled();
            tokio::select! {
                biased;
                admitted = &mut admission => break admitted,
                intake = self.subscription.next(self.group.parts.batch), if fetching => fetched = Some(intake),
            }
        };
        match admitted {
            Ok(Ok(positions)) => {
                failpoint!("admit.untold");
                if let Err(error) = self.subscription.admitted(&positions).await {
                    tracing::warn!(
                        error = chain(&error),
                        "the broker was not told of admitted events; it will send them again"
                    );
                }
                failpoint!("admit.told");
            }
            Ok(Err(error)) if error.kind() == ErrorKind::StaleClaim => {
                tracing::info!("a partition went to another instance while its events were being admitted");
                return self.give_back(taken, fetched).await;
            }
            Ok(Err(error)) => {
                tracing::error!(error = chain(&error), "events were not admitted; the broker will send them again");
                return self.give_back(taken, fetched).await;
            }
            Err(stopped) => {
                let error = chain(&stopped);
                tracing::error!(error, "admission ended early; the broker will send the events again");
                return self.give_back(taken, fetched).await;
            }
        }
        fetched
    }

    /// After a failed admission nothing later may be admitted before the batch has come again: a later position would
    /// stand for it.
    async fn give_back(&mut self, mut taken: Vec<Position>, fetched: Option<Result<Intake>>) -> Option<Result<Intake>> {
        let fetched = match fetched {
            Some(Ok(Intake::Messages(later))) => {
                taken.extend(Position::earliest(&later));
                None
            }
            news => news,
        };
        self.subscription.give_back(&taken).await;
        tokio::time::sleep(PAUSES.0).await;
        fetched
    }

    /// Loads what is open in partitions that were taken over, before anything new of them is read.
    async fn assigned(&mut self, partitions: Vec<TopicPartition>) {
        tracing::info!(group = self.group.parts.name, partitions = ?names(&partitions), "partitions taken over");
        self.partitions.extend(partitions.iter().cloned());
        let scope = owned(&partitions);
        while let Err(error) = load_open(&self.group, &scope).await {
            if self.group.stopping.is_cancelled() {
                return;
            }
            tracing::warn!(error = chain(&error), "open work of the partitions cannot be read yet");
            tokio::time::sleep(self.pause).await;
        }
        self.group.set_scope(owned(&self.partitions));
        self.group.due.notify_one();
    }

    /// Lets partitions go: what waits is given back, what runs is waited for.
    async fn revoking(&mut self, partitions: &[TopicPartition]) {
        tracing::info!(group = self.group.parts.name, partitions = ?names(partitions), "partitions are handed over");
        self.partitions.retain(|own| !partitions.contains(own));
        self.group.set_scope(owned(&self.partitions));
        self.withdraw(partitions);
        // Everything, not only these partitions: in a moment it is running again, and the wait stays simple.
        while self.group.in_memory() > 0 && !self.group.stopping.is_cancelled() {
            tokio::time::timeout(Duration::from_millis(20), self.group.room.notified()).await.ok();
        }
        reload_parked(&self.group, &self.partitions).await;
        self.subscription.released(partitions).await;
    }

    fn lost(&mut self, partitions: &[TopicPartition]) {
        tracing::warn!(group = self.group.parts.name, partitions = ?names(partitions), "partitions were lost");
        self.partitions.retain(|own| !partitions.contains(own));
        self.group.set_scope(owned(&self.partitions));
        self.withdraw(partitions);
    }

    fn withdraw(&self, partitions: &[TopicPartition]) {
        for runner in 0..self.group.runners.len() {
            self.group.withdraw(runner, |delivery| {
                partitions.iter().any(|gone| gone.topic == delivery.topic && Some(gone.partition) == delivery.partition)
            });
        }
    }

    async fn wait_for_broker(&mut self, error: &Error) {
        tracing::warn!(group = self.group.parts.name, error = chain(error), "the broker cannot be read; trying again");
        let stopping = self.group.stopping.clone();
        tokio::select! {
            () = tokio::time::sleep(self.pause) => {}
            () = stopping.cancelled() => {}
        }
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    /// Leaves the broker's group once everything in memory is settled.
    async fn leave(self) {
        loop {
            // Again each time: due work may have been claimed when the group was told to stop.
            for runner in 0..self.group.runners.len() {
                self.group.withdraw(runner, |_| true);
            }
            if self.group.in_memory() == 0 {
                break;
            }
            tokio::time::timeout(Duration::from_millis(20), self.group.room.notified()).await.ok();
        }
        self.subscription.close().await;
    }
}

/// Starts the parked keys afresh: only those of the partitions that are left.
async fn reload_parked(group: &Arc<Group>, partitions: &BTreeSet<TopicPartition>) {
    for runner in &group.runners {
        runner.lanes().forget_parked();
    }
    if let Err(error) = load_open(group, &owned(partitions)).await {
        tracing::warn!(error = chain(&error), "open work of the partitions is looked for again later");
    }
}

/// Tells the lanes of ordered listeners which of their keys wait in the database, and returns those that have a head
/// there.
pub(super) async fn load_open(group: &Arc<Group>, scope: &PartitionScope) -> Result<HashSet<(usize, i64)>> {
    let mut headed = HashSet::new();
    for key in group.parts.store.open_keys(&group.parts.name, scope).await? {
        let Some(runner) = group.runner_named(&key.listener) else { continue };
        let holding = match group.runners[runner].listener.options.on_dead_letter {
            OnDeadLetter::HoldKey => key.dead,
            OnDeadLetter::Continue => 0,
        };
        let heads = key.heads.saturating_add(holding);
        if heads == 0 && key.held == 0 {
            continue;
        }
        if heads > 0 {
            headed.insert((runner, key.key_hash));
        }
        let upshot = group.runners[runner].lanes().load(key.key_hash, heads, key.held);
        group.follow_up(runner, upshot);
    }
    Ok(headed)
}

fn owned<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> PartitionScope {
    PartitionScope::Owned(partitions.into_iter().map(|own| (own.topic.clone(), own.partition)).collect())
}

fn names(partitions: &[TopicPartition]) -> Vec<String> {
    partitions.iter().map(|partition| format!("{}/{}", partition.topic, partition.partition)).collect()
}
