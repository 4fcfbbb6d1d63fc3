//! Instances, and what one of them at a time may own.

use tracked_events::store::{Lease, NewInstance};

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
    let enter =
        |id: &str| NewInstance { id: id.into(), name: "booking-1".into(), service: SERVICE.into(), started_at: NOW };
    assert_eq!(store.register(enter("one")).await.unwrap(), None);
    assert_eq!(acquire(store, "one").await.len(), 2);
    assert_eq!(store.register(enter("two")).await.unwrap().as_deref(), Some("one"));
    assert!(!store.beat("one", NOW).await.unwrap());
    assert!(acquire(store, "one").await.is_empty());
    // Nor does it take a share from those that stand.
    store.join("outbox", "one", NOW).await.unwrap();
    assert_eq!(store.join("outbox", "two", NOW).await.unwrap(), ["two"]);
    assert_eq!(acquire(store, "two").await.len(), 2);
    assert_eq!(store.instances().await.unwrap().len(), 1);
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

pub async fn each_beat_is_counted(store: &Fixture) {
    register(store, "one").await;
    assert!(store.beat("one", after(1)).await.unwrap());
    assert!(store.beat("one", after(2)).await.unwrap());
    assert!(!store.beat("two", after(2)).await.unwrap());
    let instances = store.instances().await.unwrap();
    let [one] = &instances[..] else { panic!("{instances:?}") };
    assert_eq!((one.id.as_str(), one.name.as_str(), one.service.as_str()), ("one", "one", SERVICE));
    assert_eq!((one.beat, one.started_at, one.last_beat_at), (2, NOW, after(2)));
}
