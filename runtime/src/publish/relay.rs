//! The relay: staged rows reach the broker.
//!
//! Shards of the outbox are leased, so that a key's rows are sent by one relay at a time, in their order. The relay
//! looks when it is nudged, when a row is due, and at every poll. Where the database writes beside itself, shards are
//! relayed to the embedded broker in strands beside each other. It never waits for one row's retry: within a key
//! nothing passes a refused row, and other keys go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{nudge, run_to_the_end};
use crate::{
    broker::{Acknowledgement, OutgoingMessage, Outlet, Producer, SendError},
    clock::Clock,
    error::{Result, chain},
    retry::Backoff,
    store::{Lease, Outgoing, OutgoingOutcome, OutgoingResult, SharedStore, outbox_shard},
    supervisor::{Change, Share},
    telemetry::RelayMetrics,
};

/// The wait between tries of a row: 1 s, 2 s and so on to a minute.
const BACKOFF: Backoff = Backoff::Exponential {
    initial: Duration::from_secs(1),
    multiplier: 2.0,
    max: Duration::from_secs(60),
    jitter: 0.1,
};

/// The first wait after something was staged; each later one is twice as long, up to the poll interval.
const FIRST_POLL: Duration = Duration::from_millis(2);

/// Deals the shards out to strands that are relayed beside each other. A key is in one shard, so its order stays. By
/// their numbers' remainders: where the embedded broker's partitions are a multiple of the strands, each strand fills
/// partitions of its own, and none waits for another. Where instances share the shards, one may hold those of a single
/// remainder; then it has one strand, and the other instance is the other.
fn strands(leases: &[Lease], count: usize) -> Vec<Arc<[Lease]>> {
    let count = count.max(1);
    let number = |lease: &Lease| outbox_shard(&lease.resource).and_then(|shard| usize::try_from(shard).ok());
    let strand_of = |lease: &Lease| number(lease).unwrap_or(0) % count;
    let strand = |strand| leases.iter().filter(|lease| strand_of(lease) == strand).cloned().collect::<Arc<[_]>>();
    (0..count).map(strand).filter(|strand| !strand.is_empty()).collect()
}

/// Sends what is staged.
pub(crate) struct Relay {
    pub(crate) store: SharedStore,
    pub(crate) clock: Clock,
    pub(crate) outlet: Outlet,
    pub(crate) service: String,
    /// The shards that are this instance's own.
    pub(crate) share: Share,
    /// Those in which rows may be marked as being sent that nobody sends: gained, or left by a batch that failed.
    pub(crate) unrecovered: Vec<Lease>,
    pub(crate) batch: u32,
    pub(crate) poll_interval: Duration,
    /// Told when rows reached the embedded broker.
    pub(crate) published: Arc<watch::Sender<u64>>,
    pub(crate) metrics: RelayMetrics,
    pub(crate) stopping: CancellationToken,
}

impl Relay {
    /// Relays until it is stopped; what is under way is finished.
    pub(crate) async fn run(mut self) {
        let mut staged = nudge::subscribe();
        let mut poll = FIRST_POLL;
        while !self.stopping.is_cancelled() {
            let wait = match self.drain().await {
                Ok(wait) => wait.min(poll),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the outbox cannot be relayed now; trying again");
                    self.poll_interval
                }
            };
            poll = (poll * 2).min(self.poll_interval);
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                // What was staged may still be waiting for its commit, so polls are frequent for a while.
                Ok(()) = staged.changed() => poll = FIRST_POLL,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.share.leave().await;
    }

    /// Relays until nothing is due, and says how long nothing will be.
    async fn drain(&mut self) -> Result<Duration> {
        if self.share.is_due(Instant::now()) {
            self.renew().await?;
        }
        let leases = self.share.leases().to_vec();
        if leases.is_empty() {
            return Ok(self.poll_interval);
        }
        self.recover().await?;
        if self.relay_all(&leases).await.inspect_err(|_| self.unrecovered.clone_from(&leases))? {
            return Ok(Duration::ZERO);
        }
        let next = self.store.next_outgoing_at(&leases).await?;
        let wait = next.map_or(self.poll_interval, |due_at| due_at.since(self.clock.now()));
        Ok(wait.clamp(Duration::from_millis(1), self.poll_interval))
    }

    /// Relays until one strand has nothing due; whether another has.
    async fn relay_all(&self, leases: &[Lease]) -> Result<bool> {
        let at_once = match &self.outlet {
            Outlet::ProductionLog { .. } => self.store.relays_at_once(),
            // A producer sends one batch at a time, and sends all of it at once.
            Outlet::Producer(_) => 1,
        };
        let ran_dry = AtomicBool::new(false);
        let strands = strands(leases, at_once);
        let relayed = join_all(strands.iter().map(|strand| self.relay_strand(strand, &ran_dry))).await;
        let mut more = false;
        let mut failed = None;
        for result in relayed {
            match result {
                Ok(has_more) => more |= has_more,
                Err(error) => {
                    if let Some(other) = failed.replace(error) {
                        tracing::warn!(error = chain(&other), "a part of the outbox cannot be relayed now");
                    }
                }
            }
        }
        failed.map_or(Ok(more), Err)
    }

    /// Relays batch after batch of some shards, until nothing of them is due, another strand has run dry, or the shards
    /// are to be divided anew; whether more is due.
    async fn relay_strand(&self, leases: &Arc<[Lease]>, ran_dry: &AtomicBool) -> Result<bool> {
        while self.relay_batch(leases).await? == self.batch {
            if self.stopping.is_cancelled() || ran_dry.load(Ordering::Relaxed) || self.share.is_due(Instant::now()) {
                return Ok(true);
            }
        }
        ran_dry.store(true, Ordering::Relaxed);
        Ok(false)
    }

    /// Looks at the division of the shards.
    async fn renew(&mut self) -> Result<()> {
        let Change { gained, surplus, .. } = self.share.renew().await?;
        self.unrecovered.extend(gained);
        if !surplus.is_empty() {
            let surplus: Vec<_> = surplus.into_iter().map(|lease| lease.resource).collect();
            self.share.release_some(&surplus).await;
        }
        let held = self.share.leases();
        self.unrecovered.retain(|lease| held.contains(lease));
        Ok(())
    }

    /// What an earlier owner of a shard was sending is sent again; so is what this one sent and could not settle.
    async fn recover(&mut self) -> Result<()> {
        if self.unrecovered.is_empty() {
            return Ok(());
        }
        let (store, now, shards) = (Arc::clone(&self.store), self.clock.now(), self.unrecovered.clone());
        let recovered = run_to_the_end(async move { store.recover_outgoing(&shards, now).await }).await?;
        self.unrecovered.clear();
        if recovered > 0 {
            tracing::info!(events = recovered, "events whose publishing was not confirmed are sent again");
        }
        Ok(())
    }

    /// Relays one batch and returns its size.
    async fn relay_batch(&self, leases: &Arc<[Lease]>) -> Result<u32> {
        let began = Instant::now();
        let sent = match &self.outlet {
            Outlet::ProductionLog { partitions } => self.publish_embedded(leases, *partitions).await?,
            Outlet::Producer(producer) => self.send(leases, producer).await?,
        };
        if sent > 0 {
            self.metrics.relayed(began.elapsed());
        }
        Ok(sent)
    }

    async fn publish_embedded(&self, leases: &Arc<[Lease]>, partitions: u32) -> Result<u32> {
        let (store, leases) = (Arc::clone(&self.store), Arc::clone(leases));
        let (batch, now) = (self.batch, self.clock.now());
        let published =
            run_to_the_end(async move { store.publish_embedded(&leases, batch, partitions, now).await }).await?;
        if published > 0 {
            failpoint!("relay.unknown");
            self.metrics.published(usize::try_from(published).unwrap_or(usize::MAX));
            self.published.send_modify(|count| *count = count.wrapping_add(1));
        }
        Ok(published)
    }

    async fn send(&self, leases: &Arc<[Lease]>, producer: &Arc<dyn Producer>) -> Result<u32> {
        let taken = self.take(leases).await?;
        let count = u32::try_from(taken.len()).unwrap_or(u32::MAX);
        if taken.is_empty() {
            return Ok(0);
        }
        let messages = taken.iter().map(|row| self.message(row)).collect();
        let results = producer.send(messages).await;
        let settled: Vec<_> = taken.iter().zip(results).map(|(row, result)| self.settled(row, result)).collect();
        self.count(&settled);
        let (store, leases, now) = (Arc::clone(&self.store), Arc::clone(leases), self.clock.now());
        run_to_the_end(async move { store.settle_outgoing(&leases, settled, now).await }).await?;
        Ok(count)
    }

    async fn take(&self, leases: &Arc<[Lease]>) -> Result<Vec<Outgoing>> {
        let (store, leases) = (Arc::clone(&self.store), Arc::clone(leases));
        let (batch, now) = (self.batch, self.clock.now());
        run_to_the_end(async move { store.take_outgoing(&leases, batch, now).await }).await
    }

    fn message(&self, row: &Outgoing) -> OutgoingMessage {
        OutgoingMessage {
            topic: row.topic.clone(),
            envelope: row.envelope.clone(),
            kind: row.kind,
            source: self.service.clone(),
        }
    }

    fn settled(&self, row: &Outgoing, result: Result<Acknowledgement, SendError>) -> OutgoingResult {
        let outcome = match result {
            Ok(Acknowledgement { partition, offset }) => OutgoingOutcome::Published { partition, offset },
            Err(SendError::Held) => OutgoingOutcome::Held,
            Err(SendError::Transient(error)) if row.retry_count < row.max_retries => {
                let event_id = &row.envelope.event_id;
                tracing::warn!(event_id, topic = row.topic, error, "publishing failed; trying again");
                let delay = BACKOFF.delay(row.retry_count.saturating_add(1), 0.5);
                OutgoingOutcome::Retry { error, due_at: self.clock.now() + delay }
            }
            Err(SendError::Transient(error) | SendError::Permanent(error)) => {
                let event_id = &row.envelope.event_id;
                tracing::error!(
                    event_id,
                    topic = row.topic,
                    error,
                    "publishing failed for the last time; review it with `outbox list`"
                );
                OutgoingOutcome::GiveUp { error }
            }
        };
        OutgoingResult { id: row.id, shard: row.shard, outcome }
    }

    fn count(&self, results: &[OutgoingResult]) {
        let count = |test: fn(&OutgoingOutcome) -> bool| results.iter().filter(|result| test(&result.outcome)).count();
        self.metrics.published(count(|outcome| matches!(outcome, OutgoingOutcome::Published { .. })));
        self.metrics.retried(count(|outcome| matches!(outcome, OutgoingOutcome::Retry { .. })));
        self.metrics.gave_up(count(|outcome| matches!(outcome, OutgoingOutcome::GiveUp { .. })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_is_in_one_strand() {
        let held = |shards: &[i32]| {
            let lease = |shard: &i32| Lease { resource: format!("outbox/{shard}"), token: 1 };
            shards.iter().map(lease).collect::<Vec<_>>()
        };
        let numbers = |leases: &[Lease], count| {
            let strand =
                |strand: &Arc<[Lease]>| strand.iter().filter_map(|lease| outbox_shard(&lease.resource)).collect();
            strands(leases, count).iter().map(strand).collect::<Vec<Vec<i32>>>()
        };
        assert_eq!(numbers(&held(&[0, 1, 10, 11, 2]), 2), [vec![0, 10, 2], vec![1, 11]]);
        assert_eq!(numbers(&held(&[1, 3]), 2), [vec![1, 3]]);
        assert_eq!(numbers(&held(&[1, 2]), 0), [vec![1, 2]]);
        assert!(numbers(&[], 2).is_empty());
    }
}
