//! One attempt: the handler is run under its timeouts, and its end becomes a settlement.
//!
//! A transactional handler's effects, what it publishes and PROCESSED are one transaction. If its commit's outcome is
//! not known, the record is asked. Every other end is settled in a batch.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    EventContext, Group, Handle, HandlerFuture, OnDeadLetter,
    group::{InFlight, Runner},
    lanes::{HeadEnd, Origin},
    panics::{HandlerPanic, caught, caught_blocking},
    settle::Report,
};
use crate::{
    clock::Timestamp,
    connection::{SyncTx, Tx},
    dead_letter::{dead_letter, truncated},
    envelope::{hash, storable},
    error::{BoxError, HandlerError, Verdict, chain},
    publish::{DeliveryScope, nudge, run_to_the_end},
    retry::Decision,
    store::{Attempt, AttemptStatus, ConsumptionStatus, Disposition, OpenTransaction, Settlement},
};

/// The longest error and trace that the record keeps, in bytes.
const MAX_ERROR_BYTES: usize = 8 << 10;
const MAX_TRACE_BYTES: usize = 32 << 10;

/// How many events are run at a time whose process died once while they were claimed.
pub(super) const SUSPECTS: usize = 10;

/// How a run of a handler ended.
enum End {
    /// It succeeded, and is to be settled.
    Done,
    /// It succeeded, and its own transaction settled it.
    Committed,
    /// Its claim was lost while it ran; its transaction was rolled back.
    Stale,
    Failed(HandlerError),
    TimedOut(&'static str, Duration),
    Panicked(HandlerPanic),
}

/// A run that has begun.
struct Run<'a> {
    group: &'a Arc<Group>,
    runner: &'a Runner,
    context: Arc<EventContext>,
    origin: Origin,
    started_at: Timestamp,
    started: Instant,
}

/// Runs one delivery to its settlement, and tells its lane how the head ended.
pub(super) async fn run(group: &Arc<Group>, runner: &Runner, in_flight: InFlight) -> HeadEnd {
    if in_flight.delivery.abandoned_count > 0 {
        return run_suspect(group, runner, in_flight).await;
    }
    run_now(group, runner, in_flight, None).await
}

/// Runs an event whose process died before, with a durable mark that it has begun: from now until its end is written, a
/// death is charged to it. After one death there are many suspects, and a few of them are run at a time; after two,
/// those few are run one by one. So the one that kills the process is found, and the innocent are not given up.
async fn run_suspect(group: &Arc<Group>, runner: &Runner, in_flight: InFlight) -> HeadEnd {
    let share = if in_flight.delivery.abandoned_count > 1 { SUSPECTS } else { 1 };
    let share = u32::try_from(share).unwrap_or(u32::MAX);
    // The semaphore is never closed.
    let alone = Arc::clone(&group.suspects).acquire_many_owned(share).await.ok();
    let (store, id, token) = (Arc::clone(&group.parts.store), in_flight.delivery.id, in_flight.delivery.token);
    match run_to_the_end(async move { store.mark_started(id, token).await }).await {
        Ok(true) => run_now(group, runner, in_flight, alone).await,
        Ok(false) => {
            group.metrics.stale(1);
            group.report(Report::Settled(token));
            HeadEnd::Done
        }
        Err(error) => {
            tracing::warn!(error = chain(&error), event_id = in_flight.delivery.envelope.event_id, "run later");
            let due_at = group.parts.clock.now() + group.parts.poll_interval;
            group.give_back(in_flight.delivery, in_flight.origin, Disposition::Release { due_at });
            HeadEnd::Parked
        }
    }
}

async fn run_now(
    group: &Arc<Group>,
    runner: &Runner,
    in_flight: InFlight,
    alone: Option<OwnedSemaphorePermit>,
) -> HeadEnd {
    let context = Arc::new(EventContext {
        delivery: in_flight.delivery,
        listener: Arc::clone(&runner.listener),
        publisher: group.parts.publisher.clone(),
        states: Arc::clone(&group.parts.states),
    });
    let started_at = group.parts.clock.now();
    runner.metrics.started();
    let run = Run { group, runner, context, origin: in_flight.origin, started_at, started: Instant::now() };
    let end = run.handle().await;
    let (report, head) = run.conclude(end);
    group.report(report.keeping(alone));
    head
}

impl Run<'_> {
    async fn handle(&self) -> End {
        match self.runner.listener.handle() {
            Handle::Async(call) => self.run_async(call(&self.context)).await,
            Handle::Transactional { call, .. } => {
                self.in_transaction(|run, open| Box::pin(run.call_with(open, call))).await
            }
            Handle::Blocking(call) => self.run_blocking(call).await,
            Handle::BlockingTransactional { call, .. } => {
                self.in_transaction(|run, open| Box::pin(run.call_blocking_with(open, call))).await
            }
        }
    }

    async fn run_async(&self, handler: HandlerFuture<'_>) -> End {
        let limit = self.runner.listener.options.timeout;
        let scope = DeliveryScope::new(&self.context.delivery, &self.runner.listener);
        match timeout(limit, scope.enter(caught(handler))).await {
            Err(_) => End::TimedOut("timeout", limit),
            Ok(Err(panic)) => End::Panicked(panic),
            Ok(Ok(Err(error))) => End::Failed(error),
            Ok(Ok(Ok(()))) => End::Done,
        }
    }

    /// A blocking handler cannot be stopped: past its timeout its thread is waited for, and the attempt says so.
    async fn run_blocking(&self, call: fn(&EventContext) -> Result<(), HandlerError>) -> End {
        let context = Arc::clone(&self.context);
        let scope = DeliveryScope::new(&self.context.delivery, &self.runner.listener);
        let ended =
            tokio::task::spawn_blocking(move || caught_blocking(|| scope.enter_blocking(|| call(&context)))).await;
        match ended {
            Err(stopped) => End::Failed(HandlerError::from(stopped)),
            Ok(ended) => self.blocking_end(ended),
        }
    }

    fn blocking_end(&self, ended: Result<Result<(), HandlerError>, HandlerPanic>) -> End {
        let limit = self.runner.listener.options.timeout;
        match ended {
            Err(panic) => End::Panicked(panic),
            Ok(Err(error)) => End::Failed(error),
            Ok(Ok(())) if self.started.elapsed() > limit => End::TimedOut("timeout", limit),
            Ok(Ok(())) => End::Done,
        }
    }

    /// Runs a handler in a transaction that also settles its event.
    async fn in_transaction<F>(&self, handler: F) -> End
    where
        F: for<'a> FnOnce(&'a Self, &'a mut dyn OpenTransaction) -> futures_util::future::BoxFuture<'a, End>,
    {
        let limit = self.runner.listener.options.processing_timeout;
        let store = Arc::clone(&self.group.parts.store);
        // In a task of its own: what is opened too late is rolled back, not left half open.
        let mut open = match timeout(limit, run_to_the_end(async move { store.begin().await })).await {
            Err(_) => return End::TimedOut("processing_timeout", limit),
            Ok(Err(error)) => return End::Failed(error.into()),
            Ok(Ok(open)) => open,
        };
        match handler(self, open.as_mut()).await {
            End::Done => {}
            end => {
                // The server rolls back by itself when it cannot be told.
                let _ = open.rollback().await;
                return end;
            }
        }
        let left = limit.saturating_sub(self.started.elapsed());
        match timeout(left, open.settle(&self.success(), &self.group.parts.instance)).await {
            Err(_) => return End::TimedOut("processing_timeout", limit),
            Ok(Err(error)) => return End::Failed(error.into()),
            Ok(Ok(false)) => {
                let _ = open.rollback().await;
                return End::Stale;
            }
            Ok(Ok(true)) => {}
        }
        let left = limit.saturating_sub(self.started.elapsed());
        match timeout(left, run_to_the_end(open.commit())).await {
            Ok(Ok(())) => End::Committed,
            Ok(Err(error)) => self.after_commit(End::Failed(error.into())).await,
            Err(_) => self.after_commit(End::TimedOut("processing_timeout", limit)).await,
        }
    }

    /// A commit that failed, or whose answer is missing, may have happened: the record knows. One that still comes
    /// through makes the settlement of `otherwise` a stale one.
    async fn after_commit(&self, otherwise: End) -> End {
        match self.group.parts.store.status_of(self.context.delivery.id).await {
            Ok(Some(ConsumptionStatus::Processed)) => End::Committed,
            Ok(_) => otherwise,
            Err(unknown) => End::Failed(HandlerError::from(unknown)),
        }
    }

    async fn call_with(
        &self,
        open: &mut dyn OpenTransaction,
        call: for<'a, 'c> fn(&'a EventContext, &'a mut Tx<'c>) -> HandlerFuture<'a>,
    ) -> End {
        let mut tx = open.tx();
        self.run_async(call(&self.context, &mut tx)).await
    }

    async fn call_blocking_with(
        &self,
        open: &mut dyn OpenTransaction,
        call: fn(&EventContext, &mut SyncTx<'_>) -> Result<(), HandlerError>,
    ) -> End {
        let context = Arc::clone(&self.context);
        let scope = DeliveryScope::new(&self.context.delivery, &self.runner.listener);
        let (tell, told) = tokio::sync::oneshot::channel();
        let work = Box::new(move |tx: &mut SyncTx<'_>| {
            let ended = caught_blocking(|| scope.enter_blocking(|| call(&context, tx)));
            // The attempt waits for this, unless its whole task is gone.
            let _ = tell.send(ended);
        });
        match open.run_blocking(work).await {
            Err(error) => End::Failed(error.into()),
            Ok(()) => match told.await {
                Ok(ended) => self.blocking_end(ended),
                Err(lost) => End::Failed(HandlerError::from(lost)),
            },
        }
    }

    /// What is to be written of the end of the run, and what it means for the lane.
    fn conclude(&self, end: End) -> (Report, HeadEnd) {
        let delivery = &self.context.delivery;
        match end {
            End::Committed => {
                self.runner.metrics.attempted(AttemptStatus::Success, self.started.elapsed());
                self.runner.metrics.reached(&delivery.topic, ConsumptionStatus::Processed);
                // The handler may have published in its transaction.
                nudge::staged();
                (Report::Settled(delivery.token), HeadEnd::Done)
            }
            End::Done => {
                self.runner.metrics.attempted(AttemptStatus::Success, self.started.elapsed());
                (settled(self.success()), HeadEnd::Done)
            }
            End::Stale => {
                self.runner.metrics.attempted(AttemptStatus::Abandoned, self.started.elapsed());
                self.group.metrics.stale(1);
                (Report::Settled(delivery.token), HeadEnd::Done)
            }
            End::Failed(error) => self.failed(error),
            End::TimedOut(what, limit) => {
                let message = format!(
                    "the handler did not end within its `{what}` of {}{}",
                    humantime::format_duration(limit),
                    self.overrun(),
                );
                self.fail(AttemptStatus::Timeout, Verdict::Retry, message, None)
            }
            End::Panicked(panic) => {
                let message = format!("the handler panicked: {}", panic.message);
                self.fail(AttemptStatus::Panic, Verdict::Retry, message, panic.trace)
            }
        }
    }

    /// How long a blocking handler really took: it could not be stopped.
    fn overrun(&self) -> String {
        match self.runner.listener.handle() {
            Handle::Blocking(_) | Handle::BlockingTransactional { .. } => {
                format!("; it blocks, so its thread was waited for, {:?} in all", self.started.elapsed())
            }
            Handle::Async(_) | Handle::Transactional { .. } => String::new(),
        }
    }

    fn failed(&self, error: HandlerError) -> (Report, HeadEnd) {
        let verdict = error.verdict();
        let status = match verdict {
            Verdict::Reject | Verdict::Invalid => AttemptStatus::Rejected,
            Verdict::Snooze(_) => AttemptStatus::Interrupted,
            Verdict::Retry | Verdict::RetryAfter(_) => AttemptStatus::Failed,
        };
        let source: BoxError = error.into_source();
        let message = chain(&*source);
        let debug = format!("{source:?}");
        let trace = (debug.len() > message.len() + 32).then_some(debug);
        self.fail(status, verdict, message, trace)
    }

    fn fail(
        &self,
        status: AttemptStatus,
        verdict: Verdict,
        message: String,
        trace: Option<String>,
    ) -> (Report, HeadEnd) {
        let now = self.group.parts.clock.now();
        let error = storable(truncated(&message, MAX_ERROR_BYTES)).into_owned();
        let decision = self.runner.listener.options.retry_policy().decide(
            verdict,
            self.context.delivery.retry_count,
            self.chance(),
        );
        let disposition = match decision {
            Decision::Retry(delay) => Disposition::Retry { due_at: now + delay, delay },
            Decision::Snooze(delay) => Disposition::Release { due_at: now + delay },
            Decision::Invalid => Disposition::Invalid,
            Decision::DeadLetter => Disposition::DeadLetter(Box::new(dead_letter(
                &self.context.delivery,
                &self.runner.listener,
                &self.group.parts.service,
                self.context.attempt(),
                &error,
                now,
            ))),
        };
        self.runner.metrics.attempted(status, self.started.elapsed());
        self.announce(&decision, &error);
        let end = self.head_end(&decision);
        let trace = trace.map(|trace| storable(truncated(&trace, MAX_TRACE_BYTES)).into_owned());
        let attempt = Attempt { error: Some(error), stack_trace: trace, ..self.attempt(status, now) };
        let settlement = self.group.settlement(&self.context.delivery, self.origin, disposition);
        (settled(Settlement { attempt: Some(attempt), settled_at: now, ..settlement }), end)
    }

    fn head_end(&self, decision: &Decision) -> HeadEnd {
        match decision {
            Decision::Retry(_) | Decision::Snooze(_) => HeadEnd::Parked,
            Decision::DeadLetter if self.runner.listener.options.on_dead_letter == OnDeadLetter::HoldKey => {
                HeadEnd::Parked
            }
            Decision::DeadLetter | Decision::Invalid => HeadEnd::Done,
        }
    }

    /// Tells the log. What needs a person is an error; what is tried again is not.
    fn announce(&self, decision: &Decision, error: &str) {
        let (event_id, listener) = (self.context.event_id(), self.context.listener());
        let attempt = self.context.attempt();
        match decision {
            Decision::Retry(delay) => {
                tracing::warn!(event_id, listener, attempt, error, "attempt failed; next in {delay:?}");
            }
            Decision::Snooze(delay) => tracing::debug!(event_id, listener, attempt, "snoozed for {delay:?}"),
            Decision::DeadLetter => {
                tracing::error!(
                    event_id,
                    listener,
                    attempt,
                    error,
                    "event failed for the last time and was dead-lettered; review it with `dlq show`"
                );
            }
            Decision::Invalid => {
                tracing::error!(
                    event_id,
                    listener,
                    attempt,
                    error,
                    "event is invalid and kept for review; see it with `events show`"
                );
            }
        }
    }

    fn success(&self) -> Settlement {
        let now = self.group.parts.clock.now();
        let settlement = self.group.settlement(&self.context.delivery, self.origin, Disposition::Processed);
        Settlement { attempt: Some(self.attempt(AttemptStatus::Success, now)), settled_at: now, ..settlement }
    }

    fn attempt(&self, status: AttemptStatus, completed_at: Timestamp) -> Attempt {
        Attempt {
            started_at: self.started_at,
            completed_at,
            duration: self.started.elapsed(),
            status,
            error: None,
            stack_trace: None,
        }
    }

    /// A number in 0..=1 that differs between events and attempts, for the jitter.
    fn chance(&self) -> f64 {
        let seed = format!("{}:{}", self.context.delivery.id, self.context.delivery.retry_count);
        f64::from(u16::try_from(hash(seed.as_bytes()).rem_euclid(65_536)).unwrap_or(0)) / 65_535.0
    }
}

fn settled(settlement: Settlement) -> Report {
    Report::Settle { settlement: Box::new(settlement), held: None, alone: None }
}
