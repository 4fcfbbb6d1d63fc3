//! What only a foreign client sends.

use rdkafka::{
    bindings::{rd_kafka_producev, rd_kafka_resp_err_t, rd_kafka_vtype_t as vtype},
    producer::{BaseProducer, Producer},
};
use tracked_events::envelope::{Header, IdSource};

use super::support::{Cluster, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn a_header_whose_name_is_not_text_is_kept() {
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
