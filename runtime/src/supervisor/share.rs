//! A fair share of some resources among the instances that want them.
//!
//! Every instance computes the same division from the same list of members, takes what is free of its own part, and
//! lets go of what is not; so a resource changes hands when its old owner has released it, or is known to be dead.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use crate::{
    clock::Clock,
    error::{Result, chain},
    publish::{result_of, run_to_the_end},
    store::{Lease, SharedStore},
};

/// How often the division is looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// An instance's share of the resources of a scope.
pub(crate) struct Share {
    store: SharedStore,
    clock: Clock,
    scope: String,
    resources: Vec<String>,
    instance: String,
    leases: Vec<Lease>,
    looked_at: Option<Instant>,
    look: LookState,
}

/// A look outlives the call that began it: what it took over is told by the next call.
enum LookState {
    Idle,
    UnderWay(JoinHandle<Result<Look>>),
    Ended(Look),
}

/// What a look at the division found.
struct Look {
    /// What this instance may have.
    part: Vec<String>,
    /// What it has.
    held: Vec<Lease>,
}

/// What a look at the division changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Ours since now.
    pub(crate) gained: Vec<Lease>,
    /// Ours, and to be released: they belong to another instance's share.
    pub(crate) surplus: Vec<Lease>,
    /// No longer ours.
    pub(crate) lost: Vec<Lease>,
}

impl Share {
    pub(crate) fn new(
        store: SharedStore,
        clock: Clock,
        scope: String,
        resources: Vec<String>,
        instance: String,
    ) -> Self {
        Self { store, clock, scope, resources, instance, leases: Vec::new(), looked_at: None, look: LookState::Idle }
    }

    /// What is held.
    pub(crate) fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// Whether it is time to look at the division again.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let began = !matches!(self.look, LookState::Idle);
        began || self.looked_at.is_none_or(|at| now.duration_since(at) >= INTERVAL)
    }

    /// Looks at the division: takes what is free of this instance's part, and says what changed. Cancel safe.
    ///
    /// # Errors
    /// When the database cannot be asked; nothing has changed then.
    pub(crate) async fn renew(&mut self) -> Result<Change> {
        if let LookState::Idle = self.look {
            self.look = LookState::UnderWay(tokio::spawn(self.begin_to_look()));
            self.looked_at = Some(Instant::now());
        }
        self.look_ends().await?;
        let LookState::Ended(Look { part, held }) = mem::replace(&mut self.look, LookState::Idle) else {
            return Ok(Change::default());
        };
        let change = Change {
            gained: held.iter().filter(|lease| !self.leases.contains(lease)).cloned().collect(),
            surplus: held.iter().filter(|lease| !part.contains(&lease.resource)).cloned().collect(),
            lost: self.leases.iter().filter(|lease| !held.contains(lease)).cloned().collect(),
        };
        self.leases = held;
        Ok(change)
    }

    fn begin_to_look(&self) -> impl Future<Output = Result<Look>> + Send + 'static {
        let (store, scope, instance) = (Arc::clone(&self.store), self.scope.clone(), self.instance.clone());
        let (resources, leases, now) = (self.resources.clone(), self.leases.clone(), self.clock.now());
        async move {
            let members = store.join(&scope, &instance, now).await?;
            let part = part_of(&resources, &members, &instance);
            let others = leases.into_iter().map(|lease| lease.resource).filter(|resource| !part.contains(resource));
            let wanted: Vec<_> = part.iter().cloned().chain(others).collect();
            Ok(Look { held: store.acquire(&wanted, &instance, now).await?, part })
        }
    }

    /// Waits for the look that is under way, if one is.
    async fn look_ends(&mut self) -> Result<()> {
        let LookState::UnderWay(look) = &mut self.look else { return Ok(()) };
        match result_of(look).await {
            Ok(look) => {
                self.look = LookState::Ended(look);
                Ok(())
            }
            Err(error) => {
                (self.look, self.looked_at) = (LookState::Idle, None);
                Err(error)
            }
        }
    }

    /// Releases some of what is held. Cancel safe: it happens or can be repeated.
    pub(crate) async fn release_some(&mut self, resources: &[String]) {
        // A look that began before would take it again.
        self.look_ends().await.ok();
        if let LookState::Ended(look) = &mut self.look {
            look.held.retain(|lease| !resources.contains(&lease.resource));
        }
        self.leases.retain(|lease| !resources.contains(&lease.resource));
        let (store, instance, now) = (Arc::clone(&self.store), self.instance.clone(), self.clock.now());
        let released = resources.to_vec();
        let release = run_to_the_end(async move { store.release(&released, &instance, now).await });
        if let Err(error) = release.await {
            tracing::warn!(error = chain(&error), scope = self.scope, "leases are kept until this instance is gone");
        }
    }

    /// Wants no share any more, and releases everything; also when the call is dropped.
    pub(crate) async fn leave(self) {
        let scope = self.scope.clone();
        if let Err(error) = run_to_the_end(self.give_up()).await {
            tracing::warn!(error = chain(&error), scope, "leases are kept until this instance is gone");
        }
    }

    async fn give_up(mut self) -> Result<()> {
        self.look_ends().await.ok();
        let held = match self.look {
            LookState::Ended(look) => look.held,
            _ => self.leases,
        };
        let resources: Vec<_> = held.into_iter().map(|lease| lease.resource).collect();
        let left = self.store.leave(&self.scope, &self.instance).await;
        self.store.release(&resources, &self.instance, self.clock.now()).await.and(left)
    }
}

/// Which resources belong to `instance`: dealt out in turn over the sorted members.
fn part_of(resources: &[String], members: &[String], instance: &str) -> Vec<String> {
    let Some(place) = members.iter().position(|member| member == instance) else { return Vec::new() };
    resources.iter().skip(place).step_by(members.len().max(1)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_has_exactly_one_owner() {
        let resources: Vec<_> = (0..16).map(|shard| format!("outbox/{shard}")).collect();
        let members = ["a", "b", "c"].map(str::to_owned);
        let mut dealt: Vec<_> = members.iter().flat_map(|member| part_of(&resources, &members, member)).collect();
        dealt.sort();
        let mut all = resources;
        all.sort();
        assert_eq!(dealt, all);
    }
}
