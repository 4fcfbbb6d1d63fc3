//! One consumer group as this process runs it: its listeners, their lanes, and what they share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Listener, States, attempt,
    lanes::{HeadEnd, Laned, Lanes, Origin, Upshot},
    settle::{Ledger, Report},
};
use crate::{
    clock::Clock,
    publish::Publisher,
    store::{Claimed, Delivery, Disposition, PartitionScope, Settlement, SharedStore},
    telemetry::{GroupMetrics, ListenerMetrics},
};

/// What a group is made of.
pub(crate) struct GroupParts {
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) store: SharedStore,
    pub(crate) clock: Clock,
    pub(crate) publisher: Publisher,
    pub(crate) states: Arc<States>,
    pub(crate) scope: PartitionScope,
    pub(crate) batch: usize,
    pub(crate) poll_interval: Duration,
}

/// A consumer group in this process.
pub(crate) struct Group {
    pub(crate) parts: GroupParts,
    pub(crate) runners: Vec<Runner>,
    /// The places of the listeners of each topic.
    pub(crate) topics: HashMap<String, Vec<usize>>,
    pub(crate) metrics: GroupMetrics,
    pub(crate) ledger: Ledger,
    /// Room was made, or a handler ended: the consumer may look again.
    pub(crate) room: Notify,
    /// Something is due sooner than was known.
    pub(crate) due: Notify,
    /// Handlers end, nothing new is begun.
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Events whose process died while they were claimed are run by few at a time, and at last alone.
    pub(crate) suspects: Arc<Semaphore>,
    scope: Mutex<PartitionScope>,
    reports: mpsc::UnboundedSender<Report>,
    pages: mpsc::UnboundedSender<(usize, i64)>,
    unsettled: AtomicUsize,
    taking_in: AtomicUsize,
}

/// A listener and its lanes.
pub(crate) struct Runner {
    pub(crate) listener: Arc<Listener>,
    pub(crate) metrics: ListenerMetrics,
    pub(crate) paused: AtomicBool,
    lanes: Mutex<Lanes<InFlight>>,
}

/// A delivery in memory.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) delivery: Delivery,
    pub(crate) origin: Origin,
}

impl Laned for InFlight {
    fn key(&self) -> Option<i64> {
        self.delivery.key_hash
    }

    fn weight(&self) -> usize {
        self.delivery.envelope.payload.as_ref().map_or(0, Vec::len)
    }

    fn origin(&self) -> Origin {
        self.origin
    }
}

/// The ends of a group's channels, for the tasks that serve it.
pub(crate) struct GroupInboxes {
    pub(crate) reports: mpsc::UnboundedReceiver<Report>,
    pub(crate) pages: mpsc::UnboundedReceiver<(usize, i64)>,
}

impl Group {
    pub(crate) fn new(parts: GroupParts, listeners: Vec<Arc<Listener>>) -> (Arc<Self>, GroupInboxes) {
        let (reports, report_inbox) = mpsc::unbounded_channel();
        let (pages, page_inbox) = mpsc::unbounded_channel();
        let mut topics: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, listener) in listeners.iter().enumerate() {
            for topic in &listener.topics {
                topics.entry(topic.clone()).or_default().push(place);
            }
        }
        let runners = listeners
            .into_iter()
            .map(|listener| Runner {
                metrics: ListenerMetrics::new(&listener.group, &listener.name, &listener.topics),
                paused: AtomicBool::new(false),
                lanes: Mutex::new(Lanes::new(&listener.options)),
                listener,
            })
            .collect();
        let group = Self {
            scope: Mutex::new(parts.scope.clone()),
            metrics: GroupMetrics::new(&parts.name),
            parts,
            topics,
            runners,
            ledger: Ledger::default(),
            room: Notify::new(),
            due: Notify::new(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            suspects: Arc::new(Semaphore::new(attempt::SUSPECTS)),
            reports,
            pages,
            unsettled: AtomicUsize::new(0),
            taking_in: AtomicUsize::new(0),
        };
        (Arc::new(group), GroupInboxes { reports: report_inbox, pages: page_inbox })
    }

    /// The partitions within which this process may claim.
    pub(crate) fn scope(&self) -> PartitionScope {
        self.scope.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_scope(&self, scope: PartitionScope) {
        *self.scope.lock().unwrap_or_else(PoisonError::into_inner) = scope;
    }

    /// Whether another batch may be taken in: some listener has room, and settling keeps up.
    pub(crate) fn has_room(&self) -> bool {
        self.unsettled.load(Ordering::Relaxed) < self.parts.batch.saturating_mul(4)
            && self.runners.iter().any(|runner| runner.is_open() && runner.lanes().has_room())
    }

    /// Deliveries that this process has in its hands: being admitted or claimed, waiting, running, or not settled yet.
    pub(crate) fn in_memory(&self) -> usize {
        // In the order in which a delivery moves, so that none is missed on its way.
        let taking_in = self.taking_in.load(Ordering::Acquire);
        let lanes: usize = self.runners.iter().map(Runner::in_memory).sum();
        taking_in + lanes + self.unsettled.load(Ordering::Acquire)
    }

    /// Counts events that are being admitted or claimed as being in hand until the guard goes.
    pub(crate) fn taking_in(self: &Arc<Self>, count: usize) -> TakingIn {
        self.taking_in.fetch_add(count, Ordering::AcqRel);
        TakingIn { group: Arc::clone(self), count }
    }

    /// Whether ends of deliveries are still to be written.
    pub(crate) fn has_unsettled(&self) -> bool {
        self.unsettled.load(Ordering::Acquire) > 0
    }

    /// Hands a report to the settler.
    pub(crate) fn report(&self, report: Report) {
        self.unsettled.fetch_add(1, Ordering::AcqRel);
        // The settler outlives every sender of reports: it ends when the group is dropped.
        let _ = self.reports.send(report);
    }

    /// The settler is done with this many reports.
    pub(crate) fn settled(&self, count: usize) {
        self.unsettled.fetch_sub(count, Ordering::AcqRel);
        self.room.notify_one();
    }

    /// A delivery that was just admitted.
    pub(crate) fn offer(self: &Arc<Self>, runner: usize, delivery: Delivery) {
        let upshot = self.runners[runner].lanes().offer(InFlight { delivery, origin: Origin::Fresh });
        self.follow_up(runner, upshot);
    }

    /// Deliveries claimed because they were due.
    pub(crate) fn reclaimed(self: &Arc<Self>, claimed: Claimed) {
        self.ledger.claimed(claimed.token, claimed.deliveries.len());
        let mut touched = vec![Vec::new(); self.runners.len()];
        for delivery in claimed.deliveries {
            match self.runner_named(&delivery.listener) {
                Some(runner) => touched[runner].push(delivery),
                None => {
                    self.give_back(delivery, Origin::Reclaimed, Disposition::Release { due_at: self.parts.clock.now() })
                }
            }
        }
        for (runner, deliveries) in touched.into_iter().enumerate().filter(|(_, deliveries)| !deliveries.is_empty()) {
            self.runners[runner].lanes().reclaimed(in_flight(deliveries));
            self.pump(runner);
        }
    }

    /// Held deliveries of a key, claimed because nothing is before them.
    pub(crate) fn paged_in(self: &Arc<Self>, runner: usize, key: i64, claimed: Claimed, asked: usize) {
        self.ledger.claimed(claimed.token, claimed.deliveries.len());
        let upshot = self.runners[runner].lanes().paged_in(key, in_flight(claimed.deliveries), asked);
        self.follow_up(runner, upshot);
        self.pump(runner);
    }

    /// Starts workers for what is ready.
    pub(crate) fn pump(self: &Arc<Self>, runner: usize) {
        while let Some(next) = self.take(runner) {
            let group = Arc::clone(self);
            self.tasks.spawn(async move { group.work(runner, next).await });
        }
    }

    fn take(&self, runner: usize) -> Option<InFlight> {
        let runner = &self.runners[runner];
        if self.stopping.is_cancelled() || !runner.is_open() { None } else { runner.lanes().take() }
    }

    /// One worker: runs deliveries until none is ready.
    async fn work(self: Arc<Self>, runner: usize, first: InFlight) {
        let mut next = Some(first);
        while let Some(in_flight) = next {
            let (key, origin) = (in_flight.delivery.key_hash, in_flight.origin);
            let end = attempt::run(&self, &self.runners[runner], in_flight).await;
            self.finish(runner, origin, key, end);
            next = self.take(runner);
        }
    }

    fn finish(self: &Arc<Self>, runner: usize, origin: Origin, key: Option<i64>, end: HeadEnd) {
        let end = guard!("lanes.hold", end, without HeadEnd::Done);
        let (upshot, has_room) = {
            let mut lanes = self.runners[runner].lanes();
            (lanes.finish(origin, key, end), lanes.has_room())
        };
        self.follow_up(runner, upshot);
        if has_room {
            self.room.notify_one();
        }
    }

    /// Does what a change of the lanes asks for.
    pub(crate) fn follow_up(self: &Arc<Self>, runner: usize, upshot: Upshot<InFlight>) {
        match upshot {
            Upshot::Nothing => {}
            Upshot::GiveBack(items) => {
                for item in items {
                    self.give_back(item.delivery, item.origin, Disposition::Hold);
                }
            }
            Upshot::PageIn(key) => {
                // The other end lives as long as the group.
                let _ = self.pages.send((runner, key));
            }
        }
    }

    /// Settles a delivery that was not run: it goes back to the database.
    pub(crate) fn give_back(&self, delivery: Delivery, origin: Origin, disposition: Disposition) {
        let runner = self.runner_named(&delivery.listener);
        let held_key = delivery.key_hash.filter(|_| matches!(disposition, Disposition::Hold));
        let settlement = self.settlement(&delivery, origin, disposition);
        self.report(Report::Settle { settlement: Box::new(settlement), held: runner.zip(held_key), alone: None });
    }

    /// Takes what waits in memory out of a listener's lanes, and gives it back to the database.
    pub(crate) fn withdraw(&self, runner: usize, matches: impl Fn(&Delivery) -> bool) {
        let (heads, held) = self.runners[runner].lanes().withdraw(|item| matches(&item.delivery));
        let due_at = self.parts.clock.now();
        for item in heads {
            self.give_back(item.delivery, item.origin, Disposition::Release { due_at });
        }
        for item in held {
            self.give_back(item.delivery, item.origin, Disposition::Hold);
        }
    }

    /// A settlement of a delivery, without an attempt.
    pub(crate) fn settlement(&self, delivery: &Delivery, origin: Origin, disposition: Disposition) -> Settlement {
        Settlement {
            id: delivery.id,
            token: delivery.token,
            event_id: delivery.envelope.event_id.clone(),
            listener: delivery.listener.clone(),
            group: self.parts.name.clone(),
            topic: delivery.topic.clone(),
            partition: delivery.partition,
            key_hash: delivery.key_hash,
            retry_count: delivery.retry_count,
            queued: origin == Origin::Reclaimed,
            attempt: None,
            disposition,
            settled_at: self.parts.clock.now(),
        }
    }

    pub(crate) fn runner_named(&self, listener: &str) -> Option<usize> {
        self.runners.iter().position(|runner| runner.listener.name == listener)
    }

    /// The names of the listeners, to claim for.
    pub(crate) fn listener_names(&self) -> Vec<String> {
        self.runners.iter().map(|runner| runner.listener.name.clone()).collect()
    }

    /// How much each listener may claim again now.
    pub(crate) fn reclaim_room(&self) -> Vec<(String, u32)> {
        self.runners
            .iter()
            .filter(|runner| runner.is_open())
            .map(|runner| {
                (runner.listener.name.clone(), u32::try_from(runner.lanes().reclaim_room()).unwrap_or(u32::MAX))
            })
            .filter(|(_, room)| *room > 0)
            .collect()
    }
}

/// Events that are on their way from the broker or the database to the lanes.
pub(crate) struct TakingIn {
    group: Arc<Group>,
    count: usize,
}

impl Drop for TakingIn {
    fn drop(&mut self) {
        self.group.taking_in.fetch_sub(self.count, Ordering::AcqRel);
    }
}

impl Runner {
    pub(crate) fn lanes(&self) -> MutexGuard<'_, Lanes<InFlight>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no operator paused it.
    pub(crate) fn is_open(&self) -> bool {
        !self.paused.load(Ordering::Relaxed)
    }

    pub(crate) fn in_memory(&self) -> usize {
        let lanes = self.lanes();
        lanes.running() + lanes.waiting()
    }
}

fn in_flight(deliveries: Vec<Delivery>) -> Vec<InFlight> {
    deliveries.into_iter().map(|delivery| InFlight { delivery, origin: Origin::Reclaimed }).collect()
}
