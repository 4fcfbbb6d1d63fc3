//! An event as it travels: its payload's bytes, and what is known about them.
//!
//! On the wire the attributes are CloudEvents 1.0 headers in binary mode (`ce_id`, `ce_type`, …). Foreign messages
//! are read by the fallback rules of [`Envelope::from_wire`]; nothing of them is thrown away.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// The content type of the events that this library encodes.
pub const JSON: &str = "application/json";
/// The longest id, type, topic or correlation id that is kept as such, in bytes.
pub const MAX_NAME_BYTES: usize = 512;

/// A header. Brokers carry bytes; nearly always they are text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name, as it came.
    pub name: String,
    /// The value, as it came.
    pub value: Vec<u8>,
}

impl Header {
    /// A header of text.
    pub fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A message's payload and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The event's id.
    pub event_id: String,
    /// Where the id came from.
    pub id_source: IdSource,
    /// The event's type; `None` for a foreign message that does not say.
    pub event_type: Option<String>,
    /// The payload; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The message key.
    pub key: Option<Vec<u8>>,
    /// What the payload is encoded as.
    pub content_type: Option<String>,
    /// The id that ties together everything one request caused.
    pub correlation_id: Option<String>,
    /// The id of the event that caused this one.
    pub causation_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Every other header.
    pub headers: Vec<Header>,
}

/// Where an event's id came from: whether a second delivery can be recognised depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdSource {
    /// The publisher's, from a header.
    Publisher,
    /// Made from topic, partition, offset and timestamp: the same at every delivery.
    Position,
    /// Fresh at each delivery: duplicates cannot be recognised.
    Delivery,
}

/// Headers that name the event, in the order in which they are asked.
const ID_HEADERS: [&str; 4] = ["ce_id", "event-id", "id", "message-id"];
const TYPE_HEADERS: [&str; 2] = ["ce_type", "type"];
const CORRELATION_HEADERS: [&str; 2] = ["ce_correlationid", "correlation-id"];

impl Envelope {
    /// Reads a message as it came from a broker. `position` is the id for a message that brings none.
    #[must_use]
    pub fn from_wire(
        key: Option<Vec<u8>>,
        payload: Option<Vec<u8>>,
        headers: Vec<Header>,
        position: Option<String>,
    ) -> Self {
        let mut wire = Wire(headers);
        let (event_id, id_source) = match (wire.take(&ID_HEADERS), position) {
            (Some(id), _) => (id, IdSource::Publisher),
            (None, Some(position)) => (position, IdSource::Position),
            (None, None) => (Uuid::now_v7().to_string(), IdSource::Delivery),
        };
        Self {
            event_id,
            id_source,
            event_type: wire.take(&TYPE_HEADERS),
            payload,
            key,
            content_type: wire.take(&["content-type", "ce_datacontenttype"]),
            correlation_id: wire.take(&CORRELATION_HEADERS),
            causation_id: wire.take(&["ce_causationid", "causation-id"]),
            traceparent: wire.take(&["traceparent"]),
            headers: wire.0,
        }
    }

    /// The headers under which the event travels, its own after the attributes.
    #[must_use]
    pub fn to_wire(&self, source: &str) -> Vec<Header> {
        let attributes = [
            ("ce_specversion", Some("1.0")),
            ("ce_id", Some(self.event_id.as_str())),
            ("ce_source", Some(source)),
            ("ce_type", self.event_type.as_deref()),
            ("content-type", self.content_type.as_deref()),
            ("ce_correlationid", self.correlation_id.as_deref()),
            ("ce_causationid", self.causation_id.as_deref()),
            ("traceparent", self.traceparent.as_deref()),
        ];
        let attributes = attributes.into_iter().filter_map(|(name, value)| Some(Header::new(name, value?)));
        attributes.chain(self.headers.iter().cloned()).collect()
    }

    /// The value of the first own header of that name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(&header.value).ok()
    }

    /// A fingerprint of the payload, to tell "sent again" from "same id, other content".
    #[must_use]
    pub fn checksum(&self) -> i64 {
        match &self.payload {
            Some(payload) => hash(payload),
            None => 0,
        }
    }

    /// The hash of the key by which lanes, shards and partitions are chosen; `None` without a key.
    #[must_use]
    pub fn key_hash(&self) -> Option<i64> {
        self.key.as_deref().map(hash)
    }
}

/// The hash that the record keeps of keys and payloads: XXH3, stable across versions and machines.
#[must_use]
pub fn hash(bytes: &[u8]) -> i64 {
    xxh3_64(bytes).cast_signed()
}

/// Headers not yet understood.
struct Wire(Vec<Header>);

impl Wire {
    /// Takes out the first of `names` whose value can be kept as a name; others stay as they are.
    fn take(&mut self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| {
            let at =
                self.0.iter().position(|header| header.name.eq_ignore_ascii_case(name) && is_name(&header.value))?;
            String::from_utf8(self.0.remove(at).value).ok()
        })
    }
}

/// Whether bytes from outside can be kept as an id or a name: text, neither empty nor long, without control characters.
fn is_name(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.len() <= MAX_NAME_BYTES
        && std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// Text that every database can keep: without NUL, which PostgreSQL refuses.
#[must_use]
pub fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Headers as the record keeps them: JSON, in order, values that are not UTF-8 in hexadecimal.
#[derive(Serialize, Deserialize)]
struct StoredHeader<'a> {
    name: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// Encodes headers for the record; `None` when there are none.
#[must_use]
pub fn headers_to_json(headers: &[Header]) -> Option<String> {
    if headers.is_empty() {
        return None;
    }
    let stored: Vec<_> = headers
        .iter()
        .map(|header| match std::str::from_utf8(&header.value) {
            Ok(text) => StoredHeader { name: (&header.name).into(), text: Some(text.into()), hex: None },
            Err(_) => StoredHeader { name: (&header.name).into(), text: None, hex: Some(to_hex(&header.value)) },
        })
        .collect();
    serde_json::to_string(&stored).ok()
}

/// Decodes headers from the record. What is not of the record's form gives no headers.
#[must_use]
pub fn headers_from_json(json: Option<&str>) -> Vec<Header> {
    let Some(json) = json else { return Vec::new() };
    let stored: Vec<StoredHeader<'_>> = serde_json::from_str(json).unwrap_or_default();
    stored
        .into_iter()
        .map(|header| Header {
            name: header.name.into_owned(),
            value: match (header.text, header.hex) {
                (Some(text), _) => text.into_owned().into_bytes(),
                (None, Some(hex)) => from_hex(&hex),
                (None, None) => Vec::new(),
            },
        })
        .collect()
}

fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests;
