//! Instances, and what one of them at a time may own.

use std::sync::Arc;

use tracked_events::{
    ErrorKind,
    store::{DueRequest, HeldRequest, InstanceBeat, Lease, NewInstance, PartitionScope, Placement, RecordQuery},
};

use crate::{Fixture, given::*};

fn resources() -> Vec<String> {
    vec!["outbox/1".into(), "outbox/2".into()]
}

async fn acquire(store: &Fixture, instance: &str) -> Vec<Lease> {
    let mut leases = store.acquire(&resources(), instance, NOW).await.unwrap();
    leases.sort_by(|a, b| a.resource.cmp(&b.resource));
    leases
}

pub async fn a_resource_has_one_owner(store: &Fixture) {
    register(store, "one").await;
    register(store, "two").await;
    let mine = acquire(store, "one").await;
    assert_eq!(mine.iter().map(|lease| lease.resource.clone()).collect::<Vec<_>>(), resources());
    assert!(acquire(store, "two").await.is_empty());
    // Asking again changes nothing.
    assert_eq!(acquire(store, "one").await, mine);
}

pub async fn a_released_resource_changes_its_token(store: &Fixture) {
    register(store, "one").await;
    register(store, "two").await;
    let mine = acquire(store, "one").await;
    store.release(&resources(), "two", NOW).await.unwrap();
    assert_eq!(acquire(store, "one").await, mine);
    store.release(&resources()[..1], "one", NOW).await.unwrap();
    let theirs = acquire(store, "two").await;
    assert_eq!(theirs.len(), 1);
    assert_eq!(theirs[0].resource, mine[0].resource);
    assert!(theirs[0].token > mine[0].token);
}

pub async fn a_fenced_instance_owns_nothing(store: &Fixture) {
    let enter = |id: &str| NewInstance { name: "booking-1".into(), ..instance(id) };
    assert_eq!(store.register(enter("one")).await.unwrap(), None);
    assert_eq!(acquire(store, "one").await.len(), 2);
    assert_eq!(store.register(enter("two")).await.unwrap().as_deref(), Some("one"));
    assert!(!store.beat("one", NOW).await.unwrap());
    assert!(acquire(store, "one").await.is_empty());
    // Nor does it take a share from those that stand.
    store.join("outbox", "one", NOW).await.unwrap();
    assert_eq!(store.join("outbox", "two", NOW).await.unwrap(), ["two"]);
    // Its leases are not free before its claims are taken back.
    assert!(acquire(store, "two").await.is_empty());
    store.remove_instance("one", NOW).await.unwrap();
    assert_eq!(acquire(store, "two").await.len(), 2);
    let entered = store.instances().await.unwrap();
    assert_eq!(entered.iter().map(|instance| instance.id.as_str()).collect::<Vec<_>>(), [ME, "two"]);
    // Another service's instance of the same name is another.
    let elsewhere = NewInstance { service: "other".into(), ..enter("three") };
    assert_eq!(store.register(elsewhere).await.unwrap(), None);
}

pub async fn a_removed_instance_frees_what_it_owned(store: &Fixture) {
    register(store, "one").await;
    register(store, "two").await;
    acquire(store, "one").await;
    store.join("outbox", "one", NOW).await.unwrap();
    store.remove_instance("one", NOW).await.unwrap();
    assert_eq!(acquire(store, "two").await.len(), 2);
    assert_eq!(store.join("outbox", "two", NOW).await.unwrap(), ["two"]);
    assert!(!store.beat("one", NOW).await.unwrap());
}

pub async fn members_of_a_scope_are_told_of_each_other(store: &Fixture) {
    register(store, "one").await;
    register(store, "two").await;
    assert_eq!(store.join("outbox", "two", NOW).await.unwrap(), ["two"]);
    assert_eq!(store.join("outbox", "one", NOW).await.unwrap(), ["one", "two"]);
    assert_eq!(store.join("outbox", "one", NOW).await.unwrap(), ["one", "two"]);
    assert_eq!(store.join("group/billing", "one", NOW).await.unwrap(), ["one"]);
}

pub async fn a_member_that_left_has_its_leases_and_no_share(store: &Fixture) {
    register(store, "one").await;
    register(store, "two").await;
    store.join("outbox", "one", NOW).await.unwrap();
    store.join("group/billing", "one", NOW).await.unwrap();
    let mine = acquire(store, "one").await;
    store.leave("outbox", "two").await.unwrap();
    store.leave("outbox", "one").await.unwrap();
    assert_eq!(store.join("outbox", "two", NOW).await.unwrap(), ["two"]);
    assert_eq!(store.join("group/billing", "two", NOW).await.unwrap(), ["one", "two"]);
    assert!(acquire(store, "two").await.is_empty());
    assert_eq!(acquire(store, "one").await, mine);
}

pub async fn each_beat_is_counted(store: &Fixture) {
    register(store, "one").await;
    assert!(store.beat("one", after(1)).await.unwrap());
    assert!(store.beat("one", after(2)).await.unwrap());
    assert!(!store.beat("two", after(2)).await.unwrap());
    let instances = store.instances().await.unwrap();
    let one = instances.iter().find(|instance| instance.id == "one").unwrap();
    assert_eq!((one.name.as_str(), one.service.as_str(), one.lease), ("one", SERVICE, Some(LEASE)));
    assert_eq!((one.beat, one.started_at, one.last_beat_at, one.is_gone), (2, NOW, after(2), false));
}

pub async fn a_fenced_instance_claims_nothing(store: &Fixture) {
    admit(store, vec![placed("e1", Placement::Wait), keyed("e2", 7, Placement::Hold)]).await;
    let replacement = NewInstance { id: "instance-2".into(), ..instance(ME) };
    assert_eq!(store.register(replacement).await.unwrap().as_deref(), Some(ME));
    let refused = store.admit(Arc::new(batch(vec![arrival("e3")]))).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StaleClaim);
    let query = RecordQuery { event_id: Some("e3".into()), limit: 1, ..RecordQuery::default() };
    assert!(store.consumed(&query).await.unwrap().is_empty());
    let due = DueRequest {
        group: GROUP.into(),
        instance: ME.into(),
        room: vec![(LISTENER.into(), 100)],
        scope: PartitionScope::Any,
        now: after(1),
    };
    assert_eq!(store.claim_due(due).await.unwrap_err().kind(), ErrorKind::StaleClaim);
    let held = HeldRequest {
        group: GROUP.into(),
        instance: ME.into(),
        listener: LISTENER.into(),
        key_hash: 7,
        limit: 10,
        now: after(1),
    };
    assert_eq!(store.claim_held(held).await.unwrap_err().kind(), ErrorKind::StaleClaim);
}

pub async fn a_fenced_instance_is_known_by_what_it_holds(store: &Fixture) {
    register(store, "one").await;
    acquire(store, "one").await;
    let replacement = NewInstance { id: "two".into(), ..instance("one") };
    assert_eq!(store.register(replacement).await.unwrap().as_deref(), Some("one"));
    // Should its successor die before it took over, anybody can.
    let known = |instances: &[InstanceBeat]| instances.iter().any(|instance| instance.id == "one");
    assert!(known(&store.instances().await.unwrap()));
    store.remove_instance("one", NOW).await.unwrap();
    assert!(!known(&store.instances().await.unwrap()));
}
