//! Events to publish, and what is asked of those that come.

use std::{collections::BTreeMap, ops::Range};

use tracked_events::{broker::IncomingMessage, envelope::Envelope};

use crate::given::envelope;

/// An event of a key.
#[must_use]
pub fn keyed_envelope(key: &str, id: &str) -> Envelope {
    Envelope { key: Some(key.as_bytes().to_vec()), ..envelope(id) }
}

/// Events of one key: `a-0`, `a-1` and so on.
#[must_use]
pub fn numbered(key: &str, numbers: Range<usize>) -> Vec<Envelope> {
    numbered_ids(key, numbers).iter().map(|id| keyed_envelope(key, id)).collect()
}

/// Their ids.
#[must_use]
pub fn numbered_ids(key: &str, numbers: Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{key}-{number}")).collect()
}

/// Events of the keys `k0`, `k1` and so on in turn.
#[must_use]
pub fn interleaved(keys: usize, numbers: Range<usize>) -> Vec<Envelope> {
    numbers.flat_map(|number| (0..keys).flat_map(move |key| numbered(&format!("k{key}"), number..number + 1))).collect()
}

/// The ids of messages, as they came.
#[must_use]
pub fn ids(messages: &[IncomingMessage]) -> Vec<String> {
    messages.iter().map(|message| message.envelope.event_id.clone()).collect()
}

/// Fails unless each key's events came in their order, all of `numbers`.
pub fn assert_numbered<'a>(messages: impl IntoIterator<Item = &'a IncomingMessage>, numbers: Range<usize>) {
    for (key, came) in by_key(messages) {
        assert_eq!(came, numbered_ids(&key, numbers.clone()));
    }
}

/// The ids of each key, as they came.
#[must_use]
pub fn by_key<'a>(messages: impl IntoIterator<Item = &'a IncomingMessage>) -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in messages {
        let key = String::from_utf8(message.envelope.key.clone().unwrap()).unwrap();
        keys.entry(key).or_default().push(message.envelope.event_id.clone());
    }
    keys
}
