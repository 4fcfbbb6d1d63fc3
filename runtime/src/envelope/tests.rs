use proptest::{collection::vec, prelude::*};

use super::*;

#[test]
fn what_goes_out_comes_back() {
    let sent = Envelope {
        event_id: "e1".into(),
        id_source: IdSource::Publisher,
        event_type: Some("ORDER_PLACED".into()),
        payload: Some(b"{}".to_vec()),
        key: Some(b"k".to_vec()),
        content_type: Some(JSON.into()),
        correlation_id: Some("c1".into()),
        causation_id: Some("e0".into()),
        traceparent: None,
        headers: vec![Header::new("tenant", "blue")],
    };
    let mut received =
        Envelope::from_wire(sent.key.clone(), sent.payload.clone(), sent.to_wire("orders"), Some("t:0:1:2".into()));
    received.headers.retain(|header| !header.name.starts_with("ce_s"));
    assert_eq!(received, sent);
}

#[test]
fn a_header_that_cannot_be_an_id_is_kept_and_not_used() {
    let odd = vec![Header::new("id", vec![0xff]), Header::new("event-id", "")];
    let envelope = Envelope::from_wire(None, None, odd.clone(), Some("t:0:1:2".into()));
    assert_eq!((envelope.event_id.as_str(), envelope.id_source), ("t:0:1:2", IdSource::Position));
    assert_eq!(envelope.headers, odd);
}

#[test]
fn headers_of_any_bytes_survive_the_record() {
    let headers = vec![Header::new("a", "text"), Header::new("b", vec![0xff, 0x00, 0x10]), Header::new("a", "\0")];
    assert_eq!(headers_from_json(headers_to_json(&headers).as_deref()), headers);
}

/// Names that mean something, in any case, and any others.
fn header() -> impl Strategy<Value = Header> {
    let known =
        ["ce_id", "CE_ID", "id", "event-id", "type", "ce_type", "content-type", "traceparent", "correlation-id"];
    let name = prop_oneof![proptest::sample::select(known.to_vec()).prop_map(str::to_owned), any::<String>()];
    let value = prop_oneof![any::<String>().prop_map(String::into_bytes), vec(any::<u8>(), 0..300)];
    (name, value).prop_map(|(name, value)| Header { name, value })
}

fn taken(envelope: &Envelope) -> impl Iterator<Item = &str> {
    let attributes = [
        &envelope.event_type,
        &envelope.content_type,
        &envelope.correlation_id,
        &envelope.causation_id,
        &envelope.traceparent,
    ];
    attributes.into_iter().filter_map(|attribute| attribute.as_deref())
}

proptest! {
    #[test]
    fn whatever_comes_from_the_wire_is_kept_and_has_an_id(
        headers in vec(header(), 0..20),
        payload in proptest::option::of(vec(any::<u8>(), 0..100)),
    ) {
        let envelope = Envelope::from_wire(None, payload.clone(), headers.clone(), Some("t:0:1:2".into()));
        prop_assert!(is_name(envelope.event_id.as_bytes()));
        prop_assert!(taken(&envelope).all(|attribute| is_name(attribute.as_bytes())));
        prop_assert_eq!(&envelope.payload, &payload);
        let named = usize::from(envelope.id_source == IdSource::Publisher);
        prop_assert_eq!(envelope.headers.len() + taken(&envelope).count() + named, headers.len());
        prop_assert!(envelope.headers.iter().all(|header| headers.contains(header)));
    }

    #[test]
    fn whatever_goes_out_comes_back_under_the_same_id(headers in vec(header(), 0..20)) {
        let received = Envelope::from_wire(None, None, headers, Some("t:0:1:2".into()));
        let again = Envelope::from_wire(None, None, received.to_wire("orders"), Some("t:0:9:9".into()));
        prop_assert_eq!(&again.event_id, &received.event_id);
        prop_assert_eq!(again.checksum(), received.checksum());
    }

    #[test]
    fn headers_of_any_names_and_bytes_survive_the_record(headers in vec(header(), 0..20)) {
        prop_assert_eq!(headers_from_json(headers_to_json(&headers).as_deref()), headers);
    }

    #[test]
    fn what_is_no_list_of_headers_is_none(text in any::<String>()) {
        let headers = headers_from_json(Some(&text));
        prop_assert!(headers.is_empty() || text.trim_start().starts_with('['));
    }
}
