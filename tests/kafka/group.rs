//! What the cluster is told.

use std::collections::BTreeMap;

use super::support::{Cluster, until};

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
