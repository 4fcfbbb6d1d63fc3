//! The event that most scenarios are about, and ways to bring it to the broker.

use std::sync::{Arc, Mutex, PoisonError};

use support::Database;
use tracked_events::{
    Handle, Timestamp,
    envelope::{Envelope, IdSource, JSON},
    prelude::*,
    store::{EventKind, StagedEvent},
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "NOTE_TAKEN", topic = "notes")]
pub(crate) struct Note {
    #[tracked_event(id)]
    pub(crate) id: String,
    #[tracked_event(key)]
    pub(crate) key: Option<String>,
    pub(crate) text: String,
}

impl Note {
    pub(crate) fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), key: None, text: "hello".to_owned() }
    }

    pub(crate) fn of(key: &str, id: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), ..Self::new(id) }
    }

    pub(crate) fn saying(self, text: &str) -> Self {
        Self { text: text.to_owned(), ..self }
    }
}

/// A message with this id and payload, as any program might have put it on the topic of notes.
pub(crate) fn message(id: &str, payload: impl Into<Option<Vec<u8>>>) -> StagedEvent {
    StagedEvent {
        envelope: Envelope {
            event_id: id.to_owned(),
            id_source: IdSource::Publisher,
            event_type: Some(Note::EVENT_TYPE.to_owned()),
            payload: payload.into(),
            key: None,
            content_type: Some(JSON.to_owned()),
            correlation_id: None,
            causation_id: None,
            traceparent: None,
            headers: Vec::new(),
        },
        topic: Note::TOPIC.to_owned(),
        service: "foreign".to_owned(),
        max_retries: 3,
        kind: EventKind::Event,
        created_at: Timestamp::from_micros(1_700_000_000_000_000),
    }
}

/// The same note, delivered once more: what a publisher does that was not told of its success.
pub(crate) fn delivery(note: &Note) -> StagedEvent {
    let mut staged = message(&note.id, serde_json::to_vec(note).unwrap());
    staged.envelope.key = note.event_key();
    staged
}

/// Puts messages on the embedded broker.
pub(crate) async fn deliver(service: &Handle, messages: Vec<StagedEvent>) {
    service.store().stage_alone(messages).await.unwrap();
}

/// What handlers did, in the order in which they did it.
#[derive(Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub(crate) fn write(&self, entry: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry.into());
    }

    pub(crate) fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Status, retries and error of an event's first record.
pub(crate) async fn record_of(db: &Database, id: &str) -> (String, i64, Option<String>) {
    let rest = format!("FROM event_consumption_log WHERE event_id = '{id}' ORDER BY id LIMIT 1");
    db.row("status, retry_count, error_message", &rest).await
}

/// How the attempts at an event ended, in their order.
pub(crate) async fn attempts_at(db: &Database, id: &str) -> Vec<String> {
    let rest = format!("FROM event_attempt WHERE event_id = '{id}' ORDER BY consumption_id, attempt_number");
    db.rows::<(String,)>("status", &rest).await.into_iter().map(|(status,)| status).collect()
}
