//! A fair share of some resources among the instances that want them.
//!
//! Every instance computes the same division from the same list of members, takes what is free of its own part, and
//! lets go of what is not; so a resource changes hands when its old owner has released it, or is known to be dead.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    clock::Clock,
    error::{Result, chain},
    publish::run_to_the_end,
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
        Self { store, clock, scope, resources, instance, leases: Vec::new(), looked_at: None }
    }

    /// What is held.
    pub(crate) fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// Whether it is time to look at the division again.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.looked_at.is_none_or(|at| now.duration_since(at) >= INTERVAL)
    }

    /// Looks at the division: takes what is free of this instance's part, and says what changed.
    ///
    /// # Errors
    /// When the database cannot be asked; nothing has changed then.
    pub(crate) async fn renew(&mut self) -> Result<Change> {
        let (store, scope, instance) = (Arc::clone(&self.store), self.scope.clone(), self.instance.clone());
        let (resources, now) = (self.resources.clone(), self.clock.now());
        let held = self.leases.clone();
        let (part, found) = run_to_the_end(async move {
            let members = store.join(&scope, &instance, now).await?;
            let part = part_of(&resources, &members, &instance);
            let mut wanted = part.clone();
            wanted.extend(held.iter().map(|lease| lease.resource.clone()).filter(|resource| !part.contains(resource)));
            Ok((part, store.acquire(&wanted, &instance, now).await?))
        })
        .await?;
        self.looked_at = Some(Instant::now());
        let change = Change {
            gained: found.iter().filter(|lease| !self.leases.contains(lease)).cloned().collect(),
            surplus: found.iter().filter(|lease| !part.contains(&lease.resource)).cloned().collect(),
            lost: self.leases.iter().filter(|lease| !found.contains(lease)).cloned().collect(),
        };
        self.leases = found;
        Ok(change)
    }

    /// Releases some of what is held.
    pub(crate) async fn release_some(&mut self, resources: &[String]) {
        self.leases.retain(|lease| !resources.contains(&lease.resource));
        let (store, instance, now) = (Arc::clone(&self.store), self.instance.clone(), self.clock.now());
        let released = resources.to_vec();
        let release = run_to_the_end(async move { store.release(&released, &instance, now).await });
        if let Err(error) = release.await {
            tracing::warn!(error = chain(&error), scope = self.scope, "leases are kept until this instance is gone");
        }
    }

    /// Releases everything.
    pub(crate) async fn release(&mut self) {
        let resources: Vec<_> = self.leases.iter().map(|lease| lease.resource.clone()).collect();
        self.release_some(&resources).await;
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
