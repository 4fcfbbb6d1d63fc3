//! Messages of those who do not use this library, and what they see of its messages.

use tracked_events::envelope::{Header, IdSource};

use super::{Foreign, ProducerFixture, ids, producing::outgoing, within};
use crate::given::*;

pub async fn a_message_without_an_id_is_named_by_the_broker(fixture: &ProducerFixture) {
    fixture.fixture.topic(1).await;
    let headers = vec![Header::new("trace", b"\x00\xfe")];
    let message = Foreign { key: Some(b"a\xff".to_vec()), payload: Some(b"not json".to_vec()), headers };
    for _ in 0..2 {
        fixture.outside.send(TOPIC, message.clone()).await;
    }
    let messages = fixture.reader("billing", 1).await.messages(2).await;
    let again = fixture.reader("mailing", 1).await.messages(2).await;
    for message in &messages {
        let envelope = &message.envelope;
        assert_eq!(envelope.payload.as_deref(), Some(b"not json".as_slice()));
        assert_eq!(envelope.key.as_deref(), Some(b"a\xff".as_slice()));
        assert_eq!(envelope.headers, [Header::new("trace", b"\x00\xfe")]);
        assert_eq!(envelope.event_type, None);
    }
    assert_ne!(messages[0].envelope.event_id, messages[1].envelope.event_id);
    match messages[0].envelope.id_source {
        IdSource::Position => assert_eq!(ids(&messages), ids(&again)),
        IdSource::Delivery => assert_ne!(ids(&messages), ids(&again)),
        IdSource::Publisher => panic!("nobody gave it the id `{}`", messages[0].envelope.event_id),
    }
}

pub async fn a_message_with_an_id_keeps_it(fixture: &ProducerFixture) {
    fixture.fixture.topic(1).await;
    for name in ["event-id", "id", "ce_id"] {
        let headers = vec![Header::new(name, format!("by-{name}")), Header::new("type", "ORDER_PLACED")];
        fixture.outside.send(TOPIC, Foreign { headers, ..Foreign::default() }).await;
    }
    let messages = fixture.reader(GROUP, 1).await.messages(3).await;
    assert_eq!(ids(&messages), ["by-event-id", "by-id", "by-ce_id"]);
    for message in messages {
        assert_eq!(message.envelope.id_source, IdSource::Publisher);
        assert_eq!(message.envelope.event_type.as_deref(), Some("ORDER_PLACED"));
        assert_eq!((&message.envelope.payload, &message.envelope.key), (&None, &None));
    }
}

pub async fn events_travel_with_their_attributes(fixture: &ProducerFixture) {
    fixture.fixture.topic(1).await;
    within("an acknowledgement", fixture.producer.send(vec![outgoing(envelope("0190"))])).await.remove(0).unwrap();
    let message = fixture.reader(GROUP, 1).await.messages(1).await.remove(0);
    assert_eq!((message.envelope.event_id.as_str(), message.envelope.id_source), ("0190", IdSource::Publisher));
    assert_eq!(message.envelope.header("ce_source"), Some(SERVICE));
    assert_eq!(message.envelope.header("ce_specversion"), Some("1.0"));
}
