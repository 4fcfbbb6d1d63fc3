//! One attempt: the handler is run under its timeouts, and its end becomes a settlement.
//!
//! A transactional handler's effects, what it publishes and PROCESSED are one transaction. If its commit's outcome is
//! not known, the record is asked. Every other end is settled in a batch.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use self::transaction::Prepared;
use super::{
    EventContext, Group, HandlerFuture,
    group::{InFlight, Runner},
    lanes::{HeadEnd, Origin},
    panics::{HandlerPanic, caught, caught_blocking},
    settle::Report,
};
use crate::{
    clock::Timestamp,
    error::{Error, HandlerError, chain},
    publish::{DeliveryScope, run_to_the_end},
    store::Disposition,
};

mod conclude;
mod transaction;

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
        Ok(true) => {
            failpoint!("attempt.suspect_marked");
            run_now(group, runner, in_flight, alone).await
        }
        Ok(false) => {
            group.metrics.stale(1);
            group.report(Report::Settled(token));
            HeadEnd::Done
        }
        Err(error) => run_later(group, runner, in_flight, alone, &error),
    }
}

/// The database is away, or busy: the handler was not run, and that costs no attempt.
fn run_later(
    group: &Group,
    runner: &Runner,
    in_flight: InFlight,
    alone: Option<OwnedSemaphorePermit>,
    error: &Error,
) -> HeadEnd {
    let (event_id, listener) = (&in_flight.delivery.envelope.event_id, &in_flight.delivery.listener);
    tracing::warn!(event_id, listener, error = chain(error), "the handler waits for the database");
    runner.metrics.postponed();
    let due_at = group.parts.clock.now() + group.parts.poll_interval;
    let settlement = group.settlement(&in_flight.delivery, in_flight.origin, Disposition::Release { due_at });
    group.report(Report::Settle { settlement: Box::new(settlement), held: None, alone });
    HeadEnd::Parked
}

async fn run_now(
    group: &Arc<Group>,
    runner: &Runner,
    in_flight: InFlight,
    alone: Option<OwnedSemaphorePermit>,
) -> HeadEnd {
    let prepared = match Prepared::begin(group, &runner.listener).await {
        Ok(prepared) => prepared,
        Err(error) => return run_later(group, runner, in_flight, alone, &error),
    };
    let context = Arc::new(EventContext {
        delivery: in_flight.delivery,
        listener: Arc::clone(&runner.listener),
        publisher: group.parts.publisher.clone(),
        states: Arc::clone(&group.parts.states),
    });
    failpoint!("attempt.prepared");
    let started_at = group.parts.clock.now();
    runner.metrics.started();
    let run = Run { group, runner, context, origin: in_flight.origin, started_at, started: Instant::now() };
    let end = run.handle(prepared).await;
    let (report, head) = run.conclude(end);
    group.report(report.keeping(alone));
    head
}

impl Run<'_> {
    async fn handle(&self, prepared: Prepared) -> End {
        match prepared {
            Prepared::Async(call) => self.run_async(call(&self.context)).await,
            Prepared::Blocking(call) => self.run_blocking(call).await,
            Prepared::Transactional(call, open) => {
                self.in_transaction(open, |run, open| Box::pin(run.call_with(open, call))).await
            }
            Prepared::BlockingTransactional(call, open) => {
                self.in_transaction(open, |run, open| Box::pin(run.call_blocking_with(open, call))).await
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
}
