//! Refusals and outages, as the cluster reports them.

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tracked_events::broker::{Acknowledgement, SendError};

use super::support::{Cluster, message};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_cluster_finds_too_large_is_found_among_the_others() {
    let cluster = Cluster::with_topic("orders", 1);
    let producer = cluster.producer("");
    // The batch, and then the second message that is sent alone.
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
    ];
    cluster.mock.request_errors(RDKafkaApiKey::Produce, &errors);
    let batch = ["a", "b", "a", "b", "c"].map(|key| message("orders", Some(key), key, b"{}".to_vec()));
    let results = producer.send(batch.into()).await;
    assert_eq!(offset(&results[0]), Some(0));
    assert!(matches!(&results[1], Err(SendError::Permanent(_))), "{results:?}");
    assert_eq!(offset(&results[2]), Some(1));
    assert_eq!(results[3], Err(SendError::Held));
    assert_eq!(offset(&results[4]), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_transient_and_leaves_nothing_behind() {
    let cluster = Cluster::with_topic("orders", 1);
    let producer = cluster.producer("delivery.timeout.ms=1000");
    let one = |id: &str| message("orders", Some("a"), id, b"{}".to_vec());
    assert_eq!(offset(&producer.send(vec![one("1")]).await[0]), Some(0));

    cluster.mock.broker_down(-1).unwrap();
    let other = message("orders", Some("b"), "4", b"{}".to_vec());
    let results = producer.send(vec![one("2"), one("3"), other]).await;
    assert!(matches!(&results[0], Err(SendError::Transient(_))), "{results:?}");
    assert_eq!(results[1], Err(SendError::Held));
    assert!(matches!(&results[2], Err(SendError::Transient(_))), "{results:?}");

    cluster.mock.broker_up(-1).unwrap();
    // Sent again from the first that was refused, as the relay does.
    let (mut left, mut offsets) = (vec![one("2"), one("3")], Vec::new());
    while !left.is_empty() {
        let results = producer.send(left.clone()).await;
        let sent: Vec<_> = results.iter().take_while(|result| result.is_ok()).map(offset).collect();
        left.drain(..sent.len());
        offsets.extend(sent);
    }
    assert_eq!(offsets, [Some(1), Some(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_now_is_transient_when_it_stays() {
    let cluster = Cluster::with_topic("orders", 1);
    let producer = cluster.producer("delivery.timeout.ms=1000&retry.backoff.max.ms=100");
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 1_000];
    cluster.mock.request_errors(RDKafkaApiKey::Produce, &errors);
    let batch = ["a", "a", "b"].map(|key| message("orders", Some(key), key, b"{}".to_vec()));
    let results = producer.send(batch.clone().into()).await;
    assert!(matches!(&results[0], Err(SendError::Transient(_))), "{results:?}");
    assert_eq!(results[1], Err(SendError::Held));
    assert!(matches!(&results[2], Err(SendError::Transient(_))), "{results:?}");

    cluster.mock.clear_request_errors(RDKafkaApiKey::Produce);
    let results = producer.send(batch.into()).await;
    assert_eq!(results.iter().map(offset).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
}

fn offset(result: &Result<Acknowledgement, SendError>) -> Option<i64> {
    result.as_ref().unwrap().offset
}
