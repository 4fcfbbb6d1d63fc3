//! Partitions change hands.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::timeout;
use tracked_events::broker::Position;

use super::support::{Cluster, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_released_partition_goes_on_with_its_new_owner_where_it_was_admitted() {
    let cluster = Cluster::with_topic("orders", 2);
    cluster.fill("orders", 0, 10).await;
    cluster.fill("orders", 1, 10).await;
    let mut first = cluster.join("billing", "orders").await;
    assert_eq!(first.assigned().await, [0, 1]);
    let all: Vec<i64> = (0..10).collect();
    assert_eq!(first.offsets(20).await, BTreeMap::from([(0, all.clone()), (1, all)]));
    first.admitted(0, 3).await;
    first.admitted(1, 3).await;

    let mut second = cluster.join("billing", "orders").await;
    let going = first.revoking().await;
    assert_eq!(going.len(), 1);
    let early = timeout(Duration::from_secs(1), second.subscription.next(1)).await;
    assert!(early.is_err(), "another instance has the partition before it was released: {early:?}");
    first.admitted(going[0], 4).await;
    first.released(&going).await;

    assert_eq!(second.assigned().await, going);
    assert_eq!(second.offsets(5).await, BTreeMap::from([(going[0], (5..10).collect())]));
    let kept = 1 - going[0];
    cluster.fill("orders", kept, 1).await;
    assert_eq!(first.offsets(1).await, BTreeMap::from([(kept, vec![10])]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_not_released_in_time_is_lost() {
    let cluster = Cluster::with_topic("orders", 2);
    cluster.fill("orders", 0, 3).await;
    cluster.fill("orders", 1, 3).await;
    let mut first = cluster.join_with("billing", "orders", "", Duration::from_millis(300)).await;
    assert_eq!(first.assigned().await, [0, 1]);
    first.messages(6).await;

    let mut second = cluster.join("billing", "orders").await;
    let going = first.revoking().await;
    assert_eq!(first.lost().await, going);
    assert_eq!(second.assigned().await, going);
    assert_eq!(second.offsets(3).await, BTreeMap::from([(going[0], vec![0, 1, 2])]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_closes_hands_over_at_once() {
    let cluster = Cluster::with_topic("orders", 1);
    cluster.fill("orders", 0, 10).await;
    let mut first = cluster.join("billing", "orders").await;
    first.assigned().await;
    first.messages(10).await;
    first.admitted(0, 4).await;
    first.subscription.close().await;
    assert_eq!(cluster.committed("billing", "orders", 1), BTreeMap::from([(0, 5)]));

    let mut second = cluster.join("billing", "orders").await;
    assert_eq!(second.assigned().await, [0]);
    assert_eq!(second.offsets(5).await, BTreeMap::from([(0, (5..10).collect())]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_comes_again_before_what_came_after_it() {
    let cluster = Cluster::with_topic("orders", 1);
    cluster.fill("orders", 0, 1_000).await;
    let mut member = cluster.join("billing", "orders").await;
    member.assigned().await;
    let taken = member.messages(300).await;
    member.admitted(0, 99).await;
    member.messages(100).await;
    let from = Position::earliest(&taken[100..]);
    member.subscription.give_back(&from).await;
    assert_eq!(member.offsets(900).await, BTreeMap::from([(0, (100..1_000).collect())]));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_admitted_is_committed() {
    let cluster = Cluster::with_topic("orders", 2);
    cluster.fill("orders", 0, 5).await;
    cluster.fill("orders", 1, 5).await;
    let mut member = cluster.join("billing", "orders").await;
    member.assigned().await;
    member.messages(10).await;
    member.admitted(1, 2).await;
    member.admitted(1, 1).await;
    until(|| !cluster.committed("billing", "orders", 2).is_empty());
    member.subscription.close().await;
    assert_eq!(cluster.committed("billing", "orders", 2), BTreeMap::from([(1, 3)]));
}
