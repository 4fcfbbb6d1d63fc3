//! How fast a store admits and settles, alone: `cargo run --release -p tracked-events-conformance --example store_speed`.
//!
//! Batches of 500 events of 300 bytes, each admitted to run and settled as PROCESSED: an idempotency key, a row of the
//! log, its change, and an attempt, each event, and two commits a batch.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracked_events::{
    envelope::Envelope,
    store::{Arrival, Attempt, AttemptStatus, Disposition, OUTBOX_SHARDS, SettleBatch, Settlement, SharedStore},
};
use tracked_events_conformance::{given, sqlite};

const EVENTS: usize = 100_000;
const BATCH: usize = 500;

#[tokio::main]
async fn main() {
    let fixture = sqlite::fixture().await.unwrap();
    consume(&fixture.store).await;
    publish(&fixture.store).await;
}

async fn consume(store: &SharedStore) {
    let (mut admitting, mut settling) = (Duration::ZERO, Duration::ZERO);
    let began = Instant::now();
    for _ in 0..EVENTS / BATCH {
        let admission = Arc::new(given::batch((0..BATCH).map(|_| arrival()).collect()));
        let begun = Instant::now();
        let admitted = store.admit(Arc::clone(&admission)).await.unwrap();
        admitting += begun.elapsed();
        let token = admitted.token.unwrap();
        let settlements = admission
            .arrivals
            .iter()
            .zip(&admitted.outcomes)
            .map(|(arrival, outcome)| Settlement {
                attempt: Some(Attempt {
                    started_at: given::NOW,
                    completed_at: given::after(1),
                    duration: Duration::from_millis(3),
                    status: AttemptStatus::Success,
                    error: None,
                    stack_trace: None,
                }),
                ..given::settlement(given::id_of(outcome), token, &arrival.envelope.event_id, Disposition::Processed)
            })
            .collect();
        let batch = SettleBatch { instance: given::ME.into(), settlements, finished: vec![token], now: given::NOW };
        let begun = Instant::now();
        assert!(store.settle(Arc::new(batch)).await.unwrap().is_empty());
        settling += begun.elapsed();
    }
    report("admit and settle", began.elapsed());
    report("of that, admit", admitting);
    report("of that, settle", settling);
}

async fn publish(store: &SharedStore) {
    given::register(store, given::ME).await;
    let resources: Vec<_> = (0..OUTBOX_SHARDS).map(|shard| format!("outbox/{shard}")).collect();
    let leases = store.acquire(&resources, given::ME, given::NOW).await.unwrap();
    let began = Instant::now();
    for _ in 0..EVENTS / BATCH {
        let events = (0..BATCH).map(|n| {
            let mut event = given::staged_with_key(&uuid::Uuid::now_v7().to_string(), &format!("k{}", n % 50));
            event.envelope.payload = Some(payload());
            event
        });
        store.stage_alone(events.collect()).await.unwrap();
    }
    report("stage", began.elapsed());
    let began = Instant::now();
    while store.publish_embedded(&leases, 500, 8, given::NOW).await.unwrap() > 0 {}
    report("publish embedded", began.elapsed());
}

fn arrival() -> Arrival {
    let envelope = Envelope { payload: Some(payload()), ..given::envelope(&uuid::Uuid::now_v7().to_string()) };
    given::arrival_of(envelope)
}

fn payload() -> Vec<u8> {
    vec![b'x'; 300]
}

fn report(what: &str, took: Duration) {
    let rate = f64::from(u32::try_from(EVENTS).unwrap()) / took.as_secs_f64();
    println!(
        "{what:>20}: {rate:>9.0} events/s, {:.2} µs each",
        took.as_secs_f64() * 1e6 / f64::from(u32::try_from(EVENTS).unwrap())
    );
}
