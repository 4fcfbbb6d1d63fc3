//! What travels.

use rdkafka::{
    bindings::{rd_kafka_producev, rd_kafka_resp_err_t, rd_kafka_vtype_t as vtype},
    producer::{BaseProducer, Producer},
};
use tracked_events::envelope::{Header, IdSource};

use super::support::{Cluster, PATIENCE, message};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_what_is_consumed() {
    let cluster = Cluster::with_topic("orders", 1);
    let sent = message("orders", Some("a"), "0190", b"{\"total\":1}".to_vec());
    cluster.producer("").send(vec![sent.clone()]).await.remove(0).unwrap();
    let mut member = cluster.join("billing", "orders").await;
    member.assigned().await;
    let received = member.messages(1).await.remove(0);
    assert_eq!(received.topic, "orders");
    assert_eq!(received.envelope.event_id, "0190");
    assert_eq!(received.envelope.event_type.as_deref(), Some("ORDER_PLACED"));
    assert_eq!(received.envelope.payload, sent.envelope.payload);
    assert_eq!(received.envelope.key, sent.envelope.key);
    assert_eq!(received.envelope.header("ce_source"), Some("orders"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_message_is_named_after_its_place_and_kept_whole() {
    let cluster = Cluster::with_topic("orders", 1);
    produce_with_header(&cluster, b"trace\xff", b"\x00\xfe");
    let mut member = cluster.join("billing", "orders").await;
    member.assigned().await;
    let envelope = member.messages(1).await.remove(0).envelope;
    assert_eq!(envelope.id_source, IdSource::Position);
    let place: Vec<_> = envelope.event_id.split(':').collect();
    assert_eq!(place[..3], ["orders", "0", "0"]);
    assert!(place[3].parse::<i64>().unwrap() > 0, "no time in `{}`", envelope.event_id);
    assert_eq!((&envelope.payload, &envelope.key), (&None, &None));
    assert_eq!(envelope.headers, [Header::new("trace\u{fffd}", b"\x00\xfe")]);
}

/// A tombstone without a key, and with a header that the safe interface could not make.
#[allow(unsafe_code)]
fn produce_with_header(cluster: &Cluster, name: &[u8], value: &[u8]) {
    let producer: BaseProducer = cluster.client().create().unwrap();
    let name = [name, b"\0"].concat();
    // SAFETY: the arguments are the pairs that the function asks for, up to `END`; it copies what they point to.
    let answer = unsafe {
        rd_kafka_producev(
            producer.client().native_ptr(),
            vtype::RD_KAFKA_VTYPE_TOPIC,
            c"orders".as_ptr(),
            vtype::RD_KAFKA_VTYPE_HEADER,
            name.as_ptr(),
            value.as_ptr(),
            value.len(),
            vtype::RD_KAFKA_VTYPE_END,
        )
    };
    assert_eq!(answer, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    producer.flush(PATIENCE).unwrap();
}
