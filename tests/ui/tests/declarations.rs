//! What the macros write down about events and listeners.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use diesel::sqlite::SqliteConnection;
use tracked_events::{
    AsyncSqliteConnection, Backend,
    listen::{self, Handle, OnDeadLetter, Order, Start},
    prelude::*,
    retry::Backoff,
};

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "BOOKING_CONFIRMED", topic = "bookings", version = 2)]
struct BookingConfirmed {
    #[tracked_event(id)]
    event_id: Uuid,
    #[tracked_event(key)]
    booking_id: i64,
    #[tracked_event(correlation_id)]
    request: Option<String>,
    #[tracked_event(redact)]
    guest_email: String,
}

#[derive(Serialize, Deserialize, TrackedEvent)]
#[serde(rename_all = "camelCase")]
struct HTTPCallDone {
    #[tracked_event(key, redact)]
    caller_name: String,
    #[tracked_event(redact)]
    #[serde(rename = "secret")]
    token: String,
}

#[derive(Serialize, Deserialize, TrackedEvent)]
enum SeatChanged {
    Taken { seat: String },
    Freed,
}

#[derive(Clone)]
struct Mailer;

fn check(event: &BookingConfirmed) -> Result<(), String> {
    (event.booking_id > 0).then_some(()).ok_or_else(|| "the booking has no number".to_owned())
}

#[tracked_listener]
async fn plain(_event: BookingConfirmed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(
    topics = ["bookings", "bookings-eu"], name = "confirmation", group = "mail", event_type = "*", retries = 5,
    timeout = "1m 30s", processing_timeout = "2m", backoff = exponential(initial = "250ms", multiplier = 3),
    concurrency = 4, queue = 20, order = "key", on_dead_letter = "hold_key", dead_letter = "{topic}.dead",
    start = "latest", validate = check,
)]
async fn everything(
    event: BookingConfirmed,
    ctx: &EventContext,
    _mail: State<Mailer>,
    _publisher: Publisher,
) -> Result<(), std::io::Error> {
    let _ = (event.event_id, event.request, event.guest_email, ctx.attempt());
    Ok(())
}

#[tracked_listener(backoff = fixed(delay = "5s"))]
async fn transactional(_event: BookingConfirmed, _tx: &mut Tx<'_>) -> Result<(), BoxError> {
    Ok(())
}

#[tracked_listener(backoff = none)]
async fn on_sqlite<'a>(
    HTTPCallDone { caller_name, token }: HTTPCallDone,
    _ctx: &'a EventContext,
    _connection: &'a mut AsyncSqliteConnection,
) -> Result<(), String> {
    Err(caller_name + &token)
}

#[tracked_listener(blocking)]
fn on_a_thread(_event: SeatChanged) -> Result<(), HandlerError> {
    let _ = (SeatChanged::Taken { seat: String::new() }, SeatChanged::Freed);
    Ok(())
}

#[tracked_listener(blocking)]
fn on_a_thread_in_a_transaction(
    _event: SeatChanged,
    _connection: &mut SqliteConnection,
    _context: &EventContext,
) -> Result<(), HandlerError> {
    Ok(())
}

#[test]
fn an_event_says_what_its_attributes_say() {
    assert_eq!(BookingConfirmed::EVENT_TYPE, "BOOKING_CONFIRMED");
    assert_eq!((BookingConfirmed::TOPIC, BookingConfirmed::VERSION), ("bookings", 2));
    assert_eq!(BookingConfirmed::REDACTED, ["guest_email"]);
    const { assert!(BookingConfirmed::HAS_ID) };
    let event = BookingConfirmed {
        event_id: Uuid::nil(),
        booking_id: 7,
        request: Some("r1".to_owned()),
        guest_email: String::new(),
    };
    assert_eq!(event.event_id().unwrap(), Uuid::nil().to_string());
    assert_eq!(event.event_key().unwrap(), b"7");
    assert_eq!(TrackedEvent::correlation_id(&event).unwrap(), "r1");
}

#[test]
fn an_event_without_attributes_is_named_after_its_type() {
    assert_eq!((HTTPCallDone::EVENT_TYPE, HTTPCallDone::TOPIC), ("HTTP_CALL_DONE", "http-call-done"));
    assert_eq!((SeatChanged::EVENT_TYPE, SeatChanged::VERSION), ("SEAT_CHANGED", 1));
    const { assert!(!SeatChanged::HAS_ID) };
}

#[test]
fn redacted_fields_go_by_their_names_on_the_wire() {
    assert_eq!(HTTPCallDone::REDACTED, ["callerName", "secret"]);
}

#[test]
fn a_listener_without_options_has_the_defaults() {
    let listener = plain::LISTENER;
    assert_eq!((listener.name, listener.topics, listener.group), ("plain", &["bookings"][..], None));
    assert_eq!((listener.event_type, listener.redacted), ("BOOKING_CONFIRMED", &["guest_email"][..]));
    assert_eq!(listener.options, listen::ListenerOptions::DEFAULT);
    assert_eq!((listener.requires)().len(), 0);
    assert!(matches!(listener.handle, Handle::Async(_)));
    assert!(listener.location.file.ends_with("declarations.rs"));
}

#[test]
fn every_option_reaches_the_declaration() {
    let listener = everything::LISTENER;
    assert_eq!((listener.name, listener.group, listener.event_type), ("confirmation", Some("mail"), "*"));
    assert_eq!(listener.topics, ["bookings", "bookings-eu"]);
    let options = &listener.options;
    assert_eq!((options.retries, options.concurrency, options.queue), (5, 4, 20));
    assert_eq!((options.timeout, options.processing_timeout), (Duration::from_secs(90), Duration::from_secs(120)));
    assert_eq!((options.order, options.on_dead_letter), (Order::Key, OnDeadLetter::HoldKey));
    assert_eq!((options.dead_letter.as_ref(), options.start), ("{topic}.dead", Start::Latest));
    let initial = Duration::from_millis(250);
    assert_eq!(
        options.backoff,
        Backoff::Exponential { initial, multiplier: 3.0, max: Duration::from_secs(300), jitter: 0.1 }
    );
}

#[test]
fn a_state_is_required_of_set_up() {
    let required = (everything::LISTENER.requires)();
    assert_eq!(required.iter().map(|state| state.type_id).collect::<Vec<_>>(), [std::any::TypeId::of::<Mailer>()]);
}

#[test]
fn a_connection_makes_a_listener_transactional() {
    let backend =
        |listener: &listen::ListenerDeclaration| (listener.handle.is_transactional(), listener.handle.backend());
    assert_eq!(backend(transactional::LISTENER), (true, None));
    assert_eq!(backend(on_sqlite::LISTENER), (true, Some(Backend::Sqlite)));
    assert_eq!(backend(on_a_thread_in_a_transaction::LISTENER), (true, Some(Backend::Sqlite)));
    assert!(matches!(on_a_thread::LISTENER.handle, Handle::Blocking(_)));
}

#[test]
fn backoffs_reach_the_declaration() {
    assert_eq!(transactional::LISTENER.options.backoff, Backoff::Fixed { delay: Duration::from_secs(5), jitter: 0.0 });
    assert_eq!(on_sqlite::LISTENER.options.backoff, Backoff::None);
}

#[tracked_listener(backoff = exponential)]
async fn bare_exponential(_event: SeatChanged) -> Result<(), HandlerError> {
    Ok(())
}

#[test]
fn the_macros_know_the_defaults_that_they_measure_against() {
    assert_eq!(bare_exponential::LISTENER.options.backoff, Backoff::DEFAULT);
    let defaults = listen::ListenerOptions::DEFAULT;
    assert_eq!((defaults.timeout, defaults.processing_timeout), (Duration::from_secs(30), Duration::from_secs(60)));
}

#[test]
fn every_listener_is_in_the_programs_list() {
    let names: Vec<_> = listen::registered().iter().map(|listener| listener.name).collect();
    let expected = [
        "bare_exponential",
        "confirmation",
        "on_a_thread",
        "on_a_thread_in_a_transaction",
        "on_sqlite",
        "plain",
        "transactional",
    ];
    assert_eq!(names, expected);
}

#[test]
fn an_id_is_read_out_of_a_payload() {
    let identify = plain::LISTENER.identify.unwrap();
    let id = Uuid::from_u128(7);
    let payload = format!(r#"{{"event_id":"{id}","booking_id":1,"request":null,"guest_email":""}}"#);
    assert_eq!(identify(payload.as_bytes()).unwrap(), id.to_string());
    assert!(on_a_thread::LISTENER.identify.is_none());
}
