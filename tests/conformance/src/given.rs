//! What checks begin with: events, batches and settlements of the plainest kind, to be changed where a check cares.

use std::{sync::Arc, time::Duration};

use tracked_events::{
    Timestamp,
    envelope::{Envelope, IdSource},
    store::{
        Admission, Admitted, Arrival, Attempt, AttemptStatus, ClaimToken, ConsumptionRecord, ConsumptionStatus,
        Disposition, EventKind, LogId, NewInstance, OpenWork, Outcome, Placement, ProductionRecord, RecordQuery,
        SettleBatch, Settlement, SharedStore, StagedEvent,
    },
};

pub const GROUP: &str = "billing";
pub const SERVICE: &str = "booking";
pub const TOPIC: &str = "booking-confirmed";
pub const LISTENER: &str = "send_confirmation";
pub const ME: &str = "instance-1";

pub const LEASE: Duration = Duration::from_secs(10);

/// 2013-01-01T10:00:00Z.
pub const NOW: Timestamp = Timestamp::from_micros(1_357_034_400_000_000);

#[must_use]
pub fn after(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

#[must_use]
pub fn envelope(id: &str) -> Envelope {
    Envelope {
        event_id: id.into(),
        id_source: IdSource::Publisher,
        event_type: Some("BOOKING_CONFIRMED".into()),
        payload: Some(format!(r#"{{"booking_id":"{id}"}}"#).into_bytes()),
        key: None,
        content_type: Some("application/json".into()),
        correlation_id: Some("request-7".into()),
        causation_id: None,
        traceparent: None,
        headers: Vec::new(),
    }
}

#[must_use]
pub fn arrival(id: &str) -> Arrival {
    arrival_of(envelope(id))
}

#[must_use]
pub fn arrival_of(envelope: Envelope) -> Arrival {
    Arrival {
        envelope: Arc::new(envelope),
        event_type: "BOOKING_CONFIRMED".into(),
        topic: TOPIC.into(),
        partition: Some(0),
        offset: Some(0),
        listener: LISTENER.into(),
        key_hash: None,
        replay_id: String::new(),
        max_retries: 3,
        placement: Placement::Run,
    }
}

#[must_use]
pub fn placed(id: &str, placement: Placement) -> Arrival {
    Arrival { placement, ..arrival(id) }
}

/// An arrival of an ordered listener.
#[must_use]
pub fn keyed(id: &str, key_hash: i64, placement: Placement) -> Arrival {
    Arrival { key_hash: Some(key_hash), ..placed(id, placement) }
}

#[must_use]
pub fn unwanted(id: &str) -> Arrival {
    Arrival { listener: String::new(), ..placed(id, Placement::NoHandler) }
}

#[must_use]
pub fn batch(arrivals: Vec<Arrival>) -> Admission {
    Admission {
        group: GROUP.into(),
        service: SERVICE.into(),
        instance: ME.into(),
        arrivals,
        positions: Vec::new(),
        now: NOW,
    }
}

pub async fn admit(store: &SharedStore, arrivals: Vec<Arrival>) -> Admitted {
    store.admit(Arc::new(batch(arrivals))).await.unwrap()
}

/// Admits one event to run.
pub async fn running(store: &SharedStore, id: &str) -> Settlement {
    let admitted = admit(store, vec![arrival(id)]).await;
    settlement(id_of(&admitted.outcomes[0]), admitted.token.unwrap(), id, Disposition::Processed)
}

/// The row that an outcome is about.
#[must_use]
pub fn id_of(outcome: &Outcome) -> LogId {
    match *outcome {
        Outcome::Run(id)
        | Outcome::Parked(id)
        | Outcome::NoHandler(id)
        | Outcome::Invalid(id)
        | Outcome::Duplicate { id, .. }
        | Outcome::Conflict { id, .. }
        | Outcome::Reopened(id) => id,
    }
}

#[must_use]
pub fn settlement(id: LogId, token: ClaimToken, event_id: &str, disposition: Disposition) -> Settlement {
    let (status, error) = match disposition {
        Disposition::Processed => (AttemptStatus::Success, None),
        _ => (AttemptStatus::Failed, Some("the mail server is away".to_owned())),
    };
    Settlement {
        id,
        token,
        event_id: event_id.into(),
        listener: LISTENER.into(),
        group: GROUP.into(),
        topic: TOPIC.into(),
        partition: Some(0),
        key_hash: None,
        retry_count: 0,
        queued: false,
        attempt: Some(Attempt {
            started_at: NOW,
            completed_at: after(1),
            duration: Duration::from_secs(1),
            status,
            error,
            stack_trace: None,
        }),
        disposition,
        settled_at: after(1),
    }
}

/// The same row, its attempt ended in another way.
#[must_use]
pub fn ended(row: &Settlement, disposition: Disposition) -> Settlement {
    settlement(row.id, row.token, &row.event_id, disposition)
}

/// Settles; returns what was stale.
pub async fn settle(store: &SharedStore, settlements: Vec<Settlement>) -> Vec<LogId> {
    let batch = SettleBatch { instance: ME.into(), settlements, finished: Vec::new(), now: after(1) };
    store.settle(Arc::new(batch)).await.unwrap()
}

pub async fn finish(store: &SharedStore, token: ClaimToken) {
    let batch = SettleBatch { instance: ME.into(), settlements: Vec::new(), finished: vec![token], now: after(1) };
    store.settle(Arc::new(batch)).await.unwrap();
}

/// The row of the consumption log.
pub async fn consumed(store: &SharedStore, id: LogId) -> ConsumptionRecord {
    let query = RecordQuery { id: Some(id), limit: 1, ..RecordQuery::default() };
    store.consumed(&query).await.unwrap().remove(0)
}

pub async fn status(store: &SharedStore, id: LogId) -> ConsumptionStatus {
    store.status_of(id).await.unwrap().unwrap()
}

/// The row of open work, if there is one.
pub async fn open_work(store: &SharedStore, id: LogId) -> Option<OpenWork> {
    store.open_work(&[id]).await.unwrap().pop()
}

/// Everything published, oldest first.
pub async fn produced(store: &SharedStore) -> Vec<ProductionRecord> {
    let query = RecordQuery { limit: 10_000, ..RecordQuery::default() };
    let mut rows = store.produced(&query).await.unwrap();
    rows.reverse();
    rows
}

#[must_use]
pub fn staged(id: &str) -> StagedEvent {
    StagedEvent {
        envelope: envelope(id),
        topic: TOPIC.into(),
        service: SERVICE.into(),
        max_retries: 3,
        kind: EventKind::Event,
        created_at: NOW,
    }
}

/// An event with a message key.
#[must_use]
pub fn staged_with_key(id: &str, key: &str) -> StagedEvent {
    let envelope = Envelope { key: Some(key.as_bytes().to_vec()), ..envelope(id) };
    StagedEvent { envelope, ..staged(id) }
}

#[must_use]
pub fn instance(id: &str) -> NewInstance {
    NewInstance { id: id.into(), name: id.into(), service: SERVICE.into(), lease: LEASE, started_at: NOW }
}

/// Enters an instance, unless it is there.
pub async fn register(store: &SharedStore, id: &str) {
    if store.instances().await.unwrap().iter().all(|entered| entered.id != id || entered.lease.is_none()) {
        store.register(instance(id)).await.unwrap();
    }
}
