//! Back-pressure keeps the membership.

use std::{collections::BTreeMap, sync::mpsc, time::Duration};

use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
};

use super::support::{Cluster, PATIENCE};

/// A member that is not polled for this long leaves the group.
const HASTY: &str = "max.poll.interval.ms=4000";

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_member_keeps_its_place_beyond_the_poll_interval() {
    let cluster = Cluster::with_topic("orders", 2);
    cluster.fill("orders", 0, 5).await;
    let mut member = cluster.join_with("billing", "orders", HASTY, Duration::from_secs(1)).await;
    assert_eq!(member.assigned().await, [0, 1]);
    assert_eq!(member.offsets(5).await, BTreeMap::from([(0, (0..5).collect())]));
    let paused = [member.partition(0)];
    member.subscription.pause(&paused);
    cluster.fill("orders", 0, 5).await;
    an_unpolled_member_is_put_out(&cluster);

    member.expect_nothing_now().await;
    cluster.fill("orders", 1, 3).await;
    assert_eq!(member.offsets(3).await, BTreeMap::from([(1, vec![0, 1, 2])]));
    member.subscription.resume(&paused);
    assert_eq!(member.offsets(5).await, BTreeMap::from([(0, (5..10).collect())]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_does_not_ask_keeps_its_place() {
    let cluster = Cluster::with_topic("orders", 1);
    cluster.fill("orders", 0, 5_000).await;
    let mut member = cluster.join_with("billing", "orders", HASTY, Duration::from_secs(1)).await;
    assert_eq!(member.assigned().await, [0]);
    an_unpolled_member_is_put_out(&cluster);
    assert_eq!(member.offsets(5_000).await, BTreeMap::from([(0, (0..5_000).collect())]));
}

/// Returns when a member of another group, which nobody polls, was put out for that.
fn an_unpolled_member_is_put_out(cluster: &Cluster) {
    let (woken, waking) = mpsc::channel();
    let mut config = cluster.client();
    config.set("group.id", "witness").set("max.poll.interval.ms", "4000").set("session.timeout.ms", "4000");
    config.set("heartbeat.interval.ms", "100");
    let mut witness: BaseConsumer = config.create().unwrap();
    witness.set_nonempty_callback(move || woken.send(()).unwrap_or_default());
    witness.subscribe(&["orders"]).unwrap();
    while witness.assignment().unwrap().count() == 0 {
        let _ = witness.poll(Duration::from_millis(100));
    }
    let list = witness.assignment().unwrap();
    witness.pause(&list).unwrap();
    loop {
        waking.recv_timeout(PATIENCE).unwrap();
        if let Some(Err(error)) = witness.poll(Duration::ZERO) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::PollExceeded));
            return;
        }
    }
}
