//! The four scenarios that the library was asked for.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use support::{Database, counted, errors_about, eventually, on_every_database};
use tokio::sync::Barrier;
use tracked_events::{Clock, Timestamp, prelude::*, telemetry::metric};

use crate::note::{Note, attempts_at, deliver, message, record_of};

on_every_database![
    scenario_a_a_thousand_updates_run_concurrently_and_those_that_fail_are_retried_to_success,
    scenario_b_a_handler_that_times_out_while_its_service_is_down_succeeds_on_retry_two,
    scenario_d_malformed_data_is_invalid_kept_whole_not_retried_and_alerted,
];

#[derive(Clone, Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "CHEMICAL_STATUS_CHANGED", topic = "chemicals")]
struct ChemicalStatusChanged {
    #[tracked_event(id)]
    id: String,
    number: usize,
}

impl ChemicalStatusChanged {
    /// Every tenth fails once, every fiftieth twice.
    fn failures(&self) -> u32 {
        match self.number {
            number if number.is_multiple_of(50) => 2,
            number if number.is_multiple_of(10) => 1,
            _ => 0,
        }
    }
}

/// Counts who works in it at a time; the first ten wait for each other.
#[derive(Clone)]
struct Laboratory {
    first_ten: Arc<Barrier>,
    begun: Arc<AtomicUsize>,
    at_work: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[tracked_listener(backoff = fixed(delay = "20ms"))]
async fn update_status(
    event: ChemicalStatusChanged,
    ctx: &EventContext,
    laboratory: State<Laboratory>,
) -> Result<(), String> {
    laboratory.most.fetch_max(laboratory.at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    if laboratory.begun.fetch_add(1, Ordering::SeqCst) < 10 {
        laboratory.first_ten.wait().await;
    }
    tokio::task::yield_now().await;
    laboratory.at_work.fetch_sub(1, Ordering::SeqCst);
    if ctx.attempt() <= event.failures() { Err(format!("update {} is locked", event.number)) } else { Ok(()) }
}

async fn scenario_a_a_thousand_updates_run_concurrently_and_those_that_fail_are_retried_to_success(db: Database) {
    let laboratory = Laboratory {
        first_ten: Arc::new(Barrier::new(10)),
        begun: Arc::default(),
        at_work: Arc::default(),
        most: Arc::default(),
    };
    let service = db.service(tracked_events::listeners![update_status]).state(laboratory.clone()).start().await;
    let updates: Vec<_> =
        (0..1000).map(|number| ChemicalStatusChanged { id: format!("update-{number}"), number }).collect();
    service.publisher().publish_with(&updates, &tracked_events::PublishOptions::DEFAULT).await.unwrap();
    service.idle().await.unwrap();

    assert_eq!(laboratory.most.load(Ordering::SeqCst), 10, "the most that ran at a time");
    let records: Vec<(String, String, u32)> =
        db.rows("event_id, status, retry_count", "FROM event_consumption_log").await;
    let records: HashMap<_, _> = records.into_iter().map(|(id, status, retries)| (id, (status, retries))).collect();
    assert_eq!(records.len(), 1000);
    for update in &updates {
        assert_eq!(records[&update.id], ("PROCESSED".to_owned(), update.failures()), "{}", update.id);
    }
    assert_eq!(attempts_at(&db, "update-7").await, ["SUCCESS"]);
    assert_eq!(attempts_at(&db, "update-110").await, ["FAILED", "SUCCESS"]);
    assert_eq!(attempts_at(&db, "update-150").await, ["FAILED", "FAILED", "SUCCESS"]);
    assert_eq!(db.count("event_attempt WHERE status = 'FAILED'").await, 120);
    assert_eq!(db.count("event_attempt").await, 1120);
    let errors: Vec<(String,)> =
        db.rows("error_message", "FROM event_attempt WHERE event_id = 'update-110' AND status = 'FAILED'").await;
    assert_eq!(errors, [("update 110 is locked".to_owned(),)]);
}

#[derive(Clone, Default)]
struct MailServer {
    is_up: Arc<AtomicBool>,
}

#[tracked_listener(timeout = "50ms")]
async fn send_email(_note: Note, server: State<MailServer>) -> Result<(), BoxError> {
    if !server.is_up.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    Ok(())
}

async fn scenario_b_a_handler_that_times_out_while_its_service_is_down_succeeds_on_retry_two(db: Database) {
    let (server, clock) = (MailServer::default(), Clock::manual(Timestamp::from_micros(1_800_000_000_000_000)));
    let service = db.service(tracked_events::listeners![send_email]).state(server.clone()).clock(&clock).start().await;
    service.publisher().publish(&Note::new("mail")).await.unwrap();

    let failed = |retry: u32| {
        let rest = format!("event_consumption_log WHERE status = 'FAILED' AND retry_count = {retry}");
        let db = &db;
        async move { db.until_count(&rest, 1).await }
    };
    failed(1).await;
    assert_eq!(due_in_millis(&db, &clock).await / 100, 10, "the first wait is 1 s and at most a tenth more");
    clock.advance(Duration::from_millis(1100));
    failed(2).await;
    assert_eq!(due_in_millis(&db, &clock).await / 200, 10, "the second wait is 2 s and at most a tenth more");
    server.is_up.store(true, Ordering::SeqCst);
    clock.advance(Duration::from_millis(2200));
    service.idle().await.unwrap();

    assert_eq!(record_of(&db, "mail").await.0, "PROCESSED");
    assert_eq!(record_of(&db, "mail").await.1, 2);
    assert_eq!(attempts_at(&db, "mail").await, ["TIMEOUT", "TIMEOUT", "SUCCESS"]);
    let attempts: Vec<(String, Option<String>, Option<i64>)> =
        db.rows("started_at, error_message, retry_delay_ms", "FROM event_attempt ORDER BY attempt_number").await;
    let starts: Vec<Timestamp> = attempts.iter().map(|(started_at, ..)| started_at.parse().unwrap()).collect();
    for (retry, pair) in starts.windows(2).enumerate() {
        let delay = Duration::from_millis(u64::try_from(attempts[retry].2.unwrap()).unwrap());
        assert!(pair[1].since(pair[0]) >= delay, "retry {retry} came after {:?}", pair[1].since(pair[0]));
    }
    let error = attempts[0].1.as_deref().unwrap();
    assert_eq!(error, "the handler did not end within its `timeout` of 50ms");
}

/// In how many milliseconds the only open event is due.
async fn due_in_millis(db: &Database, clock: &Clock) -> u128 {
    let (due_at,): (String,) = db.row("due_at", "FROM inbox_queue WHERE state = 'due'").await;
    due_at.parse::<Timestamp>().unwrap().since(clock.now()).as_millis()
}

#[tracked_listener]
async fn never_called(_note: Note) -> Result<(), BoxError> {
    Err("an event that cannot be decoded came to its handler".into())
}

async fn scenario_d_malformed_data_is_invalid_kept_whole_not_retried_and_alerted(db: Database) {
    let service = db.service(tracked_events::listeners![never_called]).start().await;
    let id = format!("malformed-{}", db.id());
    let payload = br#"{"id":"malformed","key":null,"text":"#;
    deliver(&service, vec![message(&id, payload.to_vec())]).await;
    service.idle().await.unwrap();

    let (status, retries, error) = record_of(&db, &id).await;
    assert_eq!((status.as_str(), retries), ("INVALID", 0));
    let error = error.unwrap();
    assert!(error.starts_with("the payload is not a valid `NOTE_TAKEN`: EOF while parsing"), "{error}");
    let (kept,): (String,) = db.row(&db.hex("payload"), "FROM event_consumption_log").await;
    assert_eq!(kept, payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    assert_eq!(attempts_at(&db, &id).await, ["REJECTED"]);
    assert_eq!(db.rows::<(String,)>("state", "FROM inbox_queue").await, [("review".to_owned(),)]);
    assert_eq!(db.count("event_production_log WHERE kind = 'dead_letter'").await, 0);
    assert_eq!(counted(&db, metric::INVALID), 1.0);
    eventually("the log says so at error level", async || !errors_about(&id).is_empty()).await;
    let alerts = errors_about(&id);
    assert!(alerts.len() == 1 && alerts[0].contains("event is invalid and kept for review"), "{alerts:?}");
}
