//! Records as JSON for programs: keys as text, headers as JSON, payloads as they may be shown.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    payload::{Shown, bytes_as_text},
    redaction::Redaction,
};
use crate::store::{ConsumptionRecord, ProductionRecord};

/// How much of a record is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// A line of a list.
    Line,
    /// All of it, with its payload.
    Whole,
}

/// A row of the consumption log.
pub(crate) fn consumption_view(record: &ConsumptionRecord, redaction: &Redaction, detail: Detail) -> Value {
    let attributes = [
        ("log", "consumed".into()),
        ("headers", stored_json(record.headers.as_deref())),
        ("metadata", stored_json(record.metadata.as_deref())),
    ];
    let shown = || Shown::of(record.payload.as_deref(), redaction.fields(&record.event_type));
    view(record, attributes, record.event_key.as_deref(), payload(detail, shown))
}

/// A row of the production log.
pub(crate) fn production_view(record: &ProductionRecord, redaction: &Redaction, detail: Detail) -> Value {
    let attributes = [("log", "published".into()), ("headers", stored_json(record.headers.as_deref()))];
    let shown = || Shown::of(record.payload.as_deref(), redaction.fields(&record.event_type));
    view(record, attributes, record.event_key.as_deref(), payload(detail, shown))
}

fn payload(detail: Detail, shown: impl FnOnce() -> Shown) -> Option<Value> {
    match detail {
        Detail::Line => None,
        Detail::Whole => serde_json::to_value(shown()).ok(),
    }
}

fn view(
    record: &impl Serialize,
    attributes: impl IntoIterator<Item = (&'static str, Value)>,
    key: Option<&[u8]>,
    payload: Option<Value>,
) -> Value {
    let mut fields = match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    fields.insert("event_key".to_owned(), key.map(bytes_as_text).into());
    for (name, value) in attributes {
        fields.insert(name.to_owned(), value);
    }
    if let Some(payload) = payload {
        fields.insert("payload".to_owned(), payload);
    }
    Value::Object(fields)
}

/// JSON that the record keeps as text.
fn stored_json(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}
