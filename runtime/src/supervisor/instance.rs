//! This process among the others: its lease, and taking over the work of those that died.
//!
//! Dead means: an observer saw an instance's beat unchanged for a whole lease on its **own** monotonic clock, while its
//! reads succeeded. So neither a step of a clock nor a database that is away makes anybody dead. A process that
//! starts under the stable name of another fences that one at once.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result, chain},
    publish::run_to_the_end,
    store::{DeadLetterTopics, InstanceBeat, NewInstance, RescueRequest, SharedStore},
};

/// After how many abandoned attempts an event is taken to be what kills its process.
const MAX_ABANDONED: u32 = 3;

/// This process, as the other instances see it.
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) store: SharedStore,
    pub(super) clock: Clock,
    pub(super) lease: Duration,
    pub(super) dead_letters: Arc<DeadLetterTopics>,
    /// Cancelled when this instance was fenced.
    pub(super) fenced: CancellationToken,
}

impl Instance {
    /// Enters the instance, and takes over from an earlier one of its name.
    pub(super) async fn enter(
        store: SharedStore,
        clock: Clock,
        lease: Duration,
        service: String,
        name: String,
        dead_letters: DeadLetterTopics,
    ) -> Result<Self> {
        let id = uuid::Uuid::now_v7().to_string();
        let entry = NewInstance { id: id.clone(), name, service, lease, started_at: clock.now() };
        let entering = Arc::clone(&store);
        let replaced = run_to_the_end(async move { entering.register(entry).await }).await?;
        let dead_letters = Arc::new(dead_letters);
        let instance = Self { id, store, clock, lease, dead_letters, fenced: CancellationToken::new() };
        if let Some(replaced) = replaced {
            failpoint!("takeover.registered");
            instance.take_over(&replaced).await?;
        }
        Ok(instance)
    }

    /// Renews the lease and watches the others until it is stopped or fenced.
    pub(super) async fn run(self: Arc<Self>, stopping: CancellationToken) {
        let mut observed = Observed::default();
        let interval = self.lease / 5;
        while !stopping.is_cancelled() && !self.fenced.is_cancelled() {
            if let Err(error) = self.turn(&mut observed).await {
                tracing::warn!(error = chain(&error), "the instance's lease cannot be renewed now; trying again");
            }
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    async fn turn(&self, observed: &mut Observed) -> Result<()> {
        let (store, id, now) = (Arc::clone(&self.store), self.id.clone(), self.clock.now());
        let stands = run_to_the_end(async move { store.beat(&id, now).await }).await?;
        if !stands {
            tracing::error!(instance = self.id, "another instance took over from this one; it stops");
            self.fenced.cancel();
            return Ok(());
        }
        let others = self.store.instances().await?;
        for dead in observed.dead(&others, self.lease, Instant::now()).into_iter().filter(|dead| *dead != self.id) {
            tracing::warn!(instance = dead, "an instance has been silent for a whole lease; its work is taken over");
            self.take_over(&dead).await?;
        }
        self.follow_database_clock().await
    }

    /// Rescues the claims of an instance, then frees its leases: in this order, so that nobody reads a partition whose
    /// open work is not known yet.
    async fn take_over(&self, dead: &str) -> Result<()> {
        let (store, dead, now) = (Arc::clone(&self.store), dead.to_owned(), self.clock.now());
        let dead_letters = Arc::clone(&self.dead_letters);
        let rescued = run_to_the_end(async move {
            let request = RescueRequest { instance: dead.clone(), max_abandoned: MAX_ABANDONED, dead_letters, now };
            let rescued = store.rescue(request).await?;
            failpoint!("takeover.rescued");
            store.remove_instance(&dead, now).await?;
            failpoint!("takeover.freed");
            Ok(rescued)
        })
        .await?;
        if rescued > 0 {
            crate::telemetry::rescued(rescued);
            tracing::warn!(events = rescued, "events that a dead instance was handling will be handled again");
        }
        Ok(())
    }

    async fn follow_database_clock(&self) -> Result<()> {
        let (asked, began) = (self.clock.now(), Instant::now());
        let database = self.store.now().await?;
        // A slow answer says little about the time; the last good one still holds.
        if began.elapsed() < Duration::from_millis(100) && asked <= self.clock.now() {
            self.clock.follow(database);
        }
        Ok(())
    }

    /// Leaves: nothing is claimed any more.
    pub(super) async fn leave(&self) -> Result<()> {
        if self.fenced.is_cancelled() {
            return Err(Error::new(ErrorKind::StaleClaim, "another instance has taken over from this one"));
        }
        let (store, id, now) = (Arc::clone(&self.store), self.id.clone(), self.clock.now());
        run_to_the_end(async move { store.remove_instance(&id, now).await }).await
    }
}

/// What this process saw of the others' beats, on its own clock.
#[derive(Default)]
struct Observed(HashMap<String, (i64, Instant)>);

impl Observed {
    /// Notes the beats read now, and returns who is gone, or has not beaten for the whole of its lease, or of `lease`
    /// where its own is not known.
    fn dead(&mut self, instances: &[InstanceBeat], lease: Duration, now: Instant) -> Vec<String> {
        self.0.retain(|id, _| instances.iter().any(|instance| instance.id == *id));
        let mut dead = Vec::new();
        for instance in instances {
            let seen = self.0.entry(instance.id.clone()).or_insert((instance.beat, now));
            if instance.is_gone {
                dead.push(instance.id.clone());
            } else if seen.0 != instance.beat {
                *seen = (instance.beat, now);
            } else if now.duration_since(seen.1) >= instance.lease.unwrap_or(lease) {
                dead.push(instance.id.clone());
            }
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn beat(id: &str, beat: i64) -> InstanceBeat {
        let at = Timestamp::from_micros(0);
        InstanceBeat {
            id: id.into(),
            name: id.into(),
            service: "s".into(),
            lease: None,
            beat,
            is_gone: false,
            started_at: at,
            last_beat_at: at,
        }
    }

    #[test]
    fn who_is_gone_is_dead_at_once() {
        let gone = InstanceBeat { is_gone: true, ..beat("a", 1) };
        let dead = Observed::default().dead(&[gone, beat("b", 1)], Duration::from_secs(10), Instant::now());
        assert_eq!(dead, ["a"]);
    }

    #[test]
    fn only_a_whole_lease_of_silence_is_death() {
        let (mut observed, lease, start) = (Observed::default(), Duration::from_secs(10), Instant::now());
        assert!(observed.dead(&[beat("a", 1), beat("b", 1)], lease, start).is_empty());
        assert!(observed.dead(&[beat("a", 2), beat("b", 1)], lease, start + lease / 2).is_empty());
        assert_eq!(observed.dead(&[beat("a", 2), beat("b", 1)], lease, start + lease), ["b"]);
    }
}
