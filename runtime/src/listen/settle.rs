//! Settling: what became of deliveries, written in batches.
//!
//! A batch is written at once when none is being written; otherwise reports gather until that one returns. "At once" is
//! when no other handler is about to end. So batches grow with the load and never delay anything. Reports are written in
//! the order in which they came, so that a later event of a key is never on record before an earlier one. A batch the
//! database refuses for good is split until the row that it refuses stands alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Group;
use crate::{
    error::{Error, chain},
    publish::{nudge, run_to_the_end},
    store::{ClaimToken, Disposition, LogId, SettleBatch, Settlement},
};

/// The shortest and the longest pause before a batch is offered again to a database that is away.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// How often the writer lets other tasks go first without another report coming in: microseconds, and no timer.
const YIELDS: u32 = 16;

/// What became of a delivery.
pub(crate) enum Report {
    /// To be written.
    Settle {
        /// What to write.
        settlement: Box<Settlement>,
        /// The listener's place and the key of a row that goes back to be held.
        held: Option<(usize, i64)>,
        /// What a suspect keeps until its end is written: as long as it is not, a death of the process is charged to it.
        alone: Option<OwnedSemaphorePermit>,
    },
    /// Written already, in the handler's own transaction.
    Settled(ClaimToken),
}

impl Report {
    /// Of a suspect: the next one waits until this is written.
    pub(crate) fn keeping(self, alone: Option<OwnedSemaphorePermit>) -> Self {
        match self {
            Self::Settle { settlement, held, .. } => Self::Settle { settlement, held, alone },
            settled @ Self::Settled(_) => settled,
        }
    }

    fn token(&self) -> ClaimToken {
        match self {
            Self::Settle { settlement, .. } => settlement.token,
            Self::Settled(token) => *token,
        }
    }
}

/// How many rows of each claim are not settled yet. A claim that reaches zero is removed with the batch that ends it.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<HashMap<ClaimToken, usize>>);

impl Ledger {
    /// A claim of this many rows.
    pub(crate) fn claimed(&self, token: Option<ClaimToken>, rows: usize) {
        if let Some(token) = token.filter(|_| rows > 0) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token, rows);
        }
    }

    /// Counts one row of a claim as settled; `true` when it was the last.
    fn settle(&self, token: ClaimToken) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&token) {
            Some(rows) if *rows > 1 => {
                *rows -= 1;
                false
            }
            Some(_) => open.remove(&token).is_some(),
            None => false,
        }
    }
}

/// Writes reports until the group is gone.
pub(crate) async fn run(group: Arc<Group>, mut inbox: mpsc::UnboundedReceiver<Report>) {
    let limit = group.parts.batch.saturating_mul(2).max(1);
    let mut reports = Vec::with_capacity(limit);
    while inbox.recv_many(&mut reports, limit).await > 0 {
        gather(&mut inbox, &mut reports, limit).await;
        settle(&group, std::mem::take(&mut reports)).await;
    }
}

/// Takes in what ends right behind the first: while handlers end faster than a task is woken, a batch of one would cost
/// as much as the hundreds that come after it.
async fn gather(inbox: &mut mpsc::UnboundedReceiver<Report>, reports: &mut Vec<Report>, limit: usize) {
    let mut in_vain = 0;
    while reports.len() < limit && in_vain < YIELDS {
        let before = reports.len();
        tokio::task::yield_now().await;
        while reports.len() < limit
            && let Ok(report) = inbox.try_recv()
        {
            reports.push(report);
        }
        in_vain = if reports.len() == before { in_vain + 1 } else { 0 };
    }
}

async fn settle(group: &Arc<Group>, reports: Vec<Report>) {
    let count = reports.len();
    let finished: Vec<_> = reports.iter().map(Report::token).filter(|token| group.ledger.settle(*token)).collect();
    let mut held = Vec::new();
    let mut alone = Vec::new();
    let mut settlements = Vec::with_capacity(count);
    for report in reports {
        if let Report::Settle { settlement, held: key, alone: permit } = report {
            held.extend(key);
            alone.extend(permit);
            settlements.push(*settlement);
        }
    }
    let wakes = Wakes::of(&settlements);
    write(group, settlements, finished).await;
    drop(alone);
    for (runner, key) in held {
        let upshot = group.runners[runner].lanes().returned(key);
        group.follow_up(runner, upshot);
    }
    wakes.wake(group);
    group.settled(count);
}

/// Writes settlements in their order, splitting a batch that is refused. The claims go with the last part: until then
/// its rows still need them.
async fn write(group: &Arc<Group>, settlements: Vec<Settlement>, mut finished: Vec<ClaimToken>) {
    let mut parts = vec![settlements];
    while let Some(part) = parts.pop() {
        let claims = if parts.is_empty() { finished.clone() } else { Vec::new() };
        if part.is_empty() && claims.is_empty() {
            continue;
        }
        let batch = Arc::new(SettleBatch {
            instance: group.parts.instance.clone(),
            settlements: part,
            finished: claims,
            now: group.parts.clock.now(),
        });
        let began = Instant::now();
        match (write_batch(group, &batch).await, batch.settlements.as_slice()) {
            (Ok(stale), settlements) => {
                group.metrics.settled(began.elapsed());
                count(group, settlements, &stale);
            }
            (Err(error), [] | [_]) => {
                // Its claim stays, so that a rescue finds the row.
                finished.retain(|token| batch.settlements.iter().all(|settlement| settlement.token != *token));
                if parts.is_empty() && !batch.settlements.is_empty() {
                    parts.push(Vec::new());
                }
                report_refused(&batch.settlements, &error);
            }
            (Err(_), settlements) => {
                let (earlier, later) = settlements.split_at(settlements.len() / 2);
                parts.push(later.to_vec());
                parts.push(earlier.to_vec());
            }
        }
    }
}

/// Writes one batch, however long the database is away.
async fn write_batch(group: &Group, batch: &Arc<SettleBatch>) -> Result<Vec<LogId>, Error> {
    let mut pause = PAUSES.0;
    loop {
        let (store, shared) = (Arc::clone(&group.parts.store), Arc::clone(batch));
        let written = run_to_the_end(async move { store.settle(shared).await }).await;
        failpoint!("settle.unknown");
        match written {
            Err(error) if error.is_retryable() => {
                tracing::warn!(
                    error = chain(&error),
                    events = batch.settlements.len(),
                    "settling waits for the database"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
            result => {
                guard!("settle.letter", (), without stage_letters(group, batch).await);
                return result;
            }
        }
    }
}

/// As it would be without the guard: letters in a transaction of their own.
#[cfg(feature = "failpoints")]
async fn stage_letters(group: &Group, batch: &SettleBatch) {
    let letter = |settlement: &Settlement| match &settlement.disposition {
        Disposition::DeadLetter(letter) => Some((**letter).clone()),
        _ => None,
    };
    let letters: Vec<_> = batch.settlements.iter().filter_map(letter).collect();
    if let Err(error) = group.parts.store.stage_alone(letters).await {
        tracing::error!(error = chain(&error), "dead letters were not staged");
    }
}

fn report_refused(settlements: &[Settlement], error: &Error) {
    let refused = settlements.first();
    tracing::error!(
        event_id = refused.map(|settlement| settlement.event_id.as_str()),
        listener = refused.map(|settlement| settlement.listener.as_str()),
        error = chain(error),
        "the database refused the end of an attempt; the event stays PROCESSING until this instance is replaced"
    );
}

/// Tells metrics and logs what was written, and what was not because its claim is gone.
fn count(group: &Group, settlements: &[Settlement], stale: &[LogId]) {
    group.metrics.stale(stale.len());
    for settlement in settlements {
        if stale.contains(&settlement.id) {
            tracing::warn!(
                event_id = settlement.event_id,
                listener = settlement.listener,
                "the claim on the event was lost to a rescue while it was handled; its result is discarded"
            );
        } else if let Some(runner) = group.runner_named(&settlement.listener) {
            group.runners[runner].metrics.reached(&settlement.topic, settlement.disposition.status());
        }
    }
}

/// Who has to look again once a batch is written.
struct Wakes {
    due: bool,
    relay: bool,
}

impl Wakes {
    fn of(settlements: &[Settlement]) -> Self {
        let any = |test: fn(&Disposition) -> bool| settlements.iter().any(|settlement| test(&settlement.disposition));
        Self {
            due: any(|end| matches!(end, Disposition::Retry { .. } | Disposition::Release { .. })),
            relay: any(|end| matches!(end, Disposition::DeadLetter(_))),
        }
    }

    fn wake(&self, group: &Group) {
        if self.due {
            failpoint!("settle.retry_parked");
            group.due.notify_one();
        }
        if self.relay {
            failpoint!("settle.dead_lettered");
            nudge::staged();
        }
    }
}
