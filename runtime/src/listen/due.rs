//! Open work in the database: claimed when it is due, or when its key is free.
//!
//! Due times live in the database; the process knows only the next one. The poll interval is the net under every
//! nudge: what an operator or another instance changed is seen within it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{Group, consumer::load_open, lanes::Upshot};
use crate::{
    error::{Result, chain},
    publish::run_to_the_end,
    store::{DueRequest, HeldRequest},
    telemetry::Pause,
};

/// How many held rows of a key are claimed at once.
const PAGE: usize = 32;

/// Claims what is due, and what follows a key that became free, until the group stops.
pub(crate) async fn run(group: Arc<Group>, mut pages: mpsc::UnboundedReceiver<(usize, i64)>) {
    let stopping = group.stopping.clone();
    let mut sweep = Sweep::default();
    loop {
        let wait = turn(&group, &mut sweep).await.unwrap_or_else(|error| {
            tracing::warn!(error = chain(&error), "due work cannot be claimed now; trying again");
            group.parts.poll_interval
        });
        let until = group.parts.clock.now() + wait;
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            Some((runner, key)) = pages.recv() => {
                page_in(&group, runner, key).await;
                while let Ok((runner, key)) = pages.try_recv() {
                    page_in(&group, runner, key).await;
                }
            }
            () = group.due.notified() => {}
            () = group.parts.clock.sleep_until(until) => {}
            // In real time: a manual clock stands still, and an operator's act has to be seen all the same.
            () = tokio::time::sleep(sweep.wait(group.parts.poll_interval)) => {}
        }
    }
}

/// What is looked at again at every poll, beside what is due.
#[derive(Default)]
struct Sweep {
    done_at: Option<Instant>,
}

impl Sweep {
    /// How long until the next.
    fn wait(&self, poll_interval: Duration) -> Duration {
        self.done_at.map_or(Duration::ZERO, |at| poll_interval.saturating_sub(at.elapsed()))
    }
}

/// Claims what is due, and says how long nothing will be.
async fn turn(group: &Arc<Group>, sweep: &mut Sweep) -> Result<Duration> {
    if sweep.wait(group.parts.poll_interval).is_zero() {
        sweep.done_at = Some(Instant::now());
        refresh_pauses(group).await?;
        reconcile(group).await?;
    }
    loop {
        let room = group.reclaim_room();
        if room.is_empty() {
            return Ok(group.parts.poll_interval);
        }
        let wanted: u32 = room.iter().map(|(_, room)| *room).sum();
        let request = DueRequest {
            group: group.parts.name.clone(),
            instance: group.parts.instance.clone(),
            room,
            scope: group.scope(),
            now: group.parts.clock.now(),
        };
        let _in_hand = group.taking_in(usize::try_from(wanted).unwrap_or(usize::MAX));
        // After this nobody would look for what is claimed: the consumer leaves once nothing is in hand.
        if group.stopping.is_cancelled() {
            return Ok(group.parts.poll_interval);
        }
        let store = Arc::clone(&group.parts.store);
        let claimed = run_to_the_end(async move { store.claim_due(request).await }).await?;
        let count = u32::try_from(claimed.deliveries.len()).unwrap_or(u32::MAX);
        failpoint!("due.claimed", if count > 0);
        group.reclaimed(claimed);
        if count < wanted {
            break;
        }
    }
    let next = group.parts.store.next_due_at(&group.parts.name, &group.listener_names()).await?;
    let wait = next.map_or(group.parts.poll_interval, |due_at| due_at.since(group.parts.clock.now()));
    Ok(wait.clamp(Duration::from_millis(1), group.parts.poll_interval))
}

/// Compares the keys that wait in the database with what is there: an operator or another instance may have settled
/// what they wait for.
async fn reconcile(group: &Arc<Group>) -> Result<()> {
    if !group.runners.iter().any(|runner| runner.lanes().has_parked()) {
        return Ok(());
    }
    let headed = load_open(group, &group.scope()).await?;
    if group.has_unsettled() {
        // A head may be on its way to the database.
        return Ok(());
    }
    for (index, runner) in group.runners.iter().enumerate() {
        let orphaned = runner.lanes().orphaned(|key| headed.contains(&(index, key)));
        for key in orphaned {
            group.follow_up(index, Upshot::PageIn(key));
        }
    }
    Ok(())
}

/// Reads which listeners an operator paused. One that was just paused gives back what waits in memory.
async fn refresh_pauses(group: &Arc<Group>) -> Result<()> {
    let paused = group.parts.store.paused_listeners(&group.parts.name).await?;
    for (index, runner) in group.runners.iter().enumerate() {
        let is_paused = paused.contains(&runner.listener.name);
        let was_paused = runner.paused.swap(is_paused, Ordering::Relaxed);
        if is_paused && !was_paused {
            tracing::info!(listener = runner.listener.name, "paused");
            runner.metrics.pause(Pause::Paused);
            group.withdraw(index, |_| true);
        } else if was_paused && !is_paused {
            tracing::info!(listener = runner.listener.name, "resumed");
            runner.metrics.pause(Pause::Running);
            group.pump(index);
            group.room.notify_one();
        }
    }
    Ok(())
}

/// Claims the next held rows of a key that became free.
async fn page_in(group: &Arc<Group>, runner: usize, key: i64) {
    let request = HeldRequest {
        group: group.parts.name.clone(),
        instance: group.parts.instance.clone(),
        listener: group.runners[runner].listener.name.clone(),
        key_hash: key,
        limit: u32::try_from(PAGE).unwrap_or(u32::MAX),
        now: group.parts.clock.now(),
    };
    let _in_hand = group.taking_in(PAGE);
    if group.stopping.is_cancelled() {
        return;
    }
    let store = Arc::clone(&group.parts.store);
    match run_to_the_end(async move { store.claim_held(request).await }).await {
        Ok(claimed) => {
            failpoint!("due.held_claimed");
            group.paged_in(runner, key, claimed, PAGE);
        }
        Err(error) => {
            tracing::warn!(error = chain(&error), "held events of a key cannot be claimed now; trying again");
            tokio::time::sleep(Duration::from_millis(50)).await;
            let upshot = group.runners[runner].lanes().page_in_again(key);
            group.follow_up(runner, upshot);
        }
    }
}
