//! An event survives the trip.

use tracked_events::envelope::{Envelope, Header, IdSource};

use super::BrokerFixture;
use crate::given::*;

/// Publishes events of one key, and takes them.
async fn travelled(fixture: &BrokerFixture, events: &[Envelope]) -> Vec<Envelope> {
    fixture.topic(1).await;
    fixture.publish(events.to_vec()).await;
    let mut member = fixture.join_alone(GROUP, "one", 1).await;
    let messages = member.messages(events.len()).await;
    messages.into_iter().map(|message| without_attributes(&message.envelope)).collect()
}

/// A broker may leave CloudEvents attributes among the headers that the event does not know as its own.
fn without_attributes(envelope: &Envelope) -> Envelope {
    let mut envelope = envelope.clone();
    envelope.headers.retain(|header| !header.name.starts_with("ce_"));
    envelope
}

pub async fn everything_of_an_event_comes_as_it_was_published(fixture: &BrokerFixture) {
    let everything: Vec<u8> = (0..=255).collect();
    let event = Envelope {
        event_id: "0190-ünïcode:1/2".into(),
        id_source: IdSource::Publisher,
        event_type: Some("BOOKING_CONFIRMED".into()),
        payload: Some(everything.repeat(3)),
        key: Some(everything.clone()),
        content_type: Some("application/x-any; charset=none".into()),
        correlation_id: Some("request-7".into()),
        causation_id: Some("event-6".into()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        headers: vec![
            Header::new("tenant", "blue"),
            Header::new("Tenant", "green"),
            Header::new("tenant", "blue"),
            Header::new("bytes", everything),
            Header::new("empty", ""),
        ],
    };
    assert_eq!(travelled(fixture, std::slice::from_ref(&event)).await, [event]);
}

pub async fn what_an_event_does_not_have_stays_away(fixture: &BrokerFixture) {
    let event = Envelope { content_type: None, correlation_id: None, ..envelope("e1") };
    let keyed = Envelope { event_id: "e2".into(), key: Some(Vec::new()), ..event.clone() };
    assert_eq!(travelled(fixture, &[event.clone(), keyed.clone()]).await, [event, keyed]);
}

pub async fn a_tombstone_stays_one(fixture: &BrokerFixture) {
    let tombstone = Envelope { payload: None, key: Some(b"booking-7".to_vec()), ..envelope("e1") };
    let empty = Envelope { event_id: "e2".into(), payload: Some(Vec::new()), ..tombstone.clone() };
    assert_eq!(travelled(fixture, &[tombstone.clone(), empty.clone()]).await, [tombstone, empty]);
}

pub async fn a_body_of_900_kilobytes_comes_whole(fixture: &BrokerFixture) {
    let body: Vec<u8> = (0..900_000_u32).map(|at| at.to_le_bytes()[usize::from(at % 3 == 0)]).collect();
    let large = Envelope { payload: Some(body), ..envelope("large") };
    let events =
        [envelope("before"), large, envelope("after")].map(|event| Envelope { key: Some(b"a".to_vec()), ..event });
    let came = travelled(fixture, &events).await;
    // Not by `assert_eq`, which would print them.
    assert!(came == events, "{:?}", came.iter().map(|event| event.payload.as_ref().map(Vec::len)).collect::<Vec<_>>());
}
