//! Messages are sent in batches.

use std::collections::BTreeMap;

use tracked_events::{
    broker::{Acknowledgement, OutgoingMessage, SendError},
    envelope::Envelope,
    store::EventKind,
};

use super::{ProducerFixture, assert_numbered, ids, interleaved, keyed_envelope, numbered, numbered_ids, within};
use crate::given::*;

type Sent = Vec<Result<Acknowledgement, SendError>>;

pub(super) fn outgoing(envelope: Envelope) -> OutgoingMessage {
    OutgoingMessage { topic: TOPIC.into(), envelope, kind: EventKind::Event, source: SERVICE.into() }
}

async fn send(fixture: &ProducerFixture, events: Vec<Envelope>) -> Sent {
    within("acknowledgements", fixture.producer.send(events.into_iter().map(outgoing).collect())).await
}

fn too_large(fixture: &ProducerFixture, key: &str, id: &str) -> Envelope {
    Envelope { payload: Some(vec![b' '; fixture.outside.too_large()]), ..keyed_envelope(key, id) }
}

pub async fn a_batch_is_acknowledged_in_its_order(fixture: &ProducerFixture) {
    fixture.fixture.topic(4).await;
    let sent = send(fixture, interleaved(50, 0..20)).await;
    assert_eq!(sent.len(), 1_000);
    let mut offsets: BTreeMap<Option<i32>, Vec<i64>> = BTreeMap::new();
    for acknowledgement in sent {
        let Acknowledgement { partition, offset } = acknowledgement.unwrap();
        offsets.entry(partition).or_default().extend(offset);
    }
    for (partition, offsets) in offsets {
        assert!(offsets.is_sorted_by(|a, b| a < b), "{partition:?} is not in the order of the batch");
    }
    let mut reader = fixture.reader(GROUP, 4).await;
    assert_numbered(&reader.messages(1_000).await, 0..20);
}

pub async fn a_message_stands_where_it_was_acknowledged(fixture: &ProducerFixture) {
    fixture.fixture.topic(4).await;
    let events = interleaved(8, 0..2);
    let mut places: Vec<_> = send(fixture, events.clone())
        .await
        .into_iter()
        .zip(&events)
        .map(|(sent, event)| (event.event_id.clone(), sent.map(|at| (at.partition, at.offset)).unwrap()))
        .collect();
    let mut reader = fixture.reader(GROUP, 4).await;
    let messages = reader.messages(16).await;
    let mut found: Vec<_> =
        messages.iter().map(|message| (message.envelope.event_id.clone(), message.position.coordinates())).collect();
    places.sort();
    found.sort();
    assert_eq!(found, places);
}

pub async fn a_refused_message_holds_its_key_and_no_other(fixture: &ProducerFixture) {
    fixture.fixture.topic(1).await;
    let keyless = Envelope { key: None, ..too_large(fixture, "a", "keyless-0") };
    let batch = vec![
        keyed_envelope("a", "a-0"),
        too_large(fixture, "a", "a-1"),
        keyed_envelope("a", "a-2"),
        keyed_envelope("b", "b-0"),
        keyless,
        envelope("keyless-1"),
        too_large(fixture, "c", "c-0"),
        keyed_envelope("b", "b-1"),
    ];
    let sent = send(fixture, batch).await;
    for (at, sent) in sent.iter().enumerate() {
        let right = match at {
            1 | 4 | 6 => matches!(sent, Err(SendError::Permanent(why)) if why.contains("too large")),
            2 => *sent == Err(SendError::Held),
            _ => sent.is_ok(),
        };
        assert!(right, "{at}: {sent:?}");
    }
    // What the broker has is what was acknowledged.
    let mut reader = fixture.reader(GROUP, 1).await;
    let mut came = ids(&reader.messages(4).await);
    came.sort();
    assert_eq!(came, ["a-0", "b-0", "b-1", "keyless-1"]);
}

/// The next batch is a new one, also of the key that was held.
pub async fn a_refused_message_leaves_what_comes_after_its_batch(fixture: &ProducerFixture) {
    fixture.fixture.topic(1).await;
    let refused = send(fixture, vec![too_large(fixture, "a", "a-0"), keyed_envelope("a", "a-1")]).await;
    assert_eq!(refused[1], Err(SendError::Held));
    assert!(send(fixture, numbered("a", 1..5)).await.iter().all(Result::is_ok));
    let mut reader = fixture.reader(GROUP, 1).await;
    assert_eq!(ids(&reader.messages(4).await), numbered_ids("a", 1..5));
}

pub async fn an_empty_batch_is_nothing(fixture: &ProducerFixture) {
    assert!(send(fixture, Vec::new()).await.is_empty());
}
