//! What the end of an attempt means: for the record, for the log, and for the lane.

use super::{
    super::{Handle, OnDeadLetter, lanes::HeadEnd, settle::Report},
    End, Run,
};
use crate::{
    clock::Timestamp,
    dead_letter::{dead_letter, truncated},
    envelope::{hash, storable},
    error::{BoxError, HandlerError, Verdict, chain},
    publish::nudge,
    retry::Decision,
    store::{Attempt, AttemptStatus, ConsumptionStatus, Disposition, Settlement},
};

/// The longest error and trace that the record keeps, in bytes.
const MAX_ERROR_BYTES: usize = 8 << 10;
const MAX_TRACE_BYTES: usize = 32 << 10;

impl Run<'_> {
    /// What is to be written of the end of the run, and what it means for the lane.
    pub(super) fn conclude(&self, end: End) -> (Report, HeadEnd) {
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

    pub(super) fn success(&self) -> Settlement {
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
