//! What a handler says about its event, and what becomes of it.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use support::{Database, counted, errors_about, on_every_database};
use tracked_events::{Clock, Timestamp, prelude::*, telemetry::metric};

use crate::note::{Diary, Note, attempts_at, record_of};

on_every_database![
    an_error_is_retried_three_times_and_then_dead_lettered_and_alerted,
    a_rejected_event_goes_straight_to_the_dead_letters,
    retry_after_waits_as_long_as_the_handler_says_and_counts,
    a_snoozed_event_comes_back_and_its_attempts_do_not_count,
    an_event_that_its_handler_calls_invalid_is_kept_and_its_id_is_free_again,
    a_failed_validation_makes_the_event_invalid_and_the_handler_is_not_run,
    a_panic_is_a_failed_attempt_with_its_message_and_place,
    a_blocking_handler_that_overruns_is_waited_for_and_the_attempt_says_so,
    configuration_changes_a_listener_without_a_build,
];

/// Does what the note says, and writes down each run.
#[tracked_listener(backoff = none)]
async fn obey(note: Note, ctx: &EventContext, diary: State<Diary>) -> Result<(), HandlerError> {
    diary.write(format!("{} {}", note.text, ctx.attempt()));
    let first_time = diary.len() == 1;
    match note.text.as_str() {
        "fail" => Err(HandlerError::from_box("the printer is on fire".into())),
        "reject" => Err(HandlerError::reject("nobody lives there")),
        "retry after" if first_time => Err(HandlerError::retry_after(Duration::from_secs(77), "come back later")),
        "snooze" if diary.len() < 7 => Err(HandlerError::snooze(Duration::from_secs(30))),
        "invalid" => Err(HandlerError::invalid("no such street")),
        "panic" if first_time => panic!("the ink ran out at page {}", 7),
        _ => Ok(()),
    }
}

async fn an_error_is_retried_three_times_and_then_dead_lettered_and_alerted(db: Database) {
    let service = db.service(listeners![obey]).state(Diary::default()).start().await;
    let id = format!("fail-{}", db.id());
    service.publisher().publish(&Note::new(&id).saying("fail")).await.unwrap();
    service.idle().await.unwrap();

    assert_eq!(record_of(&db, &id).await, ("FAILED_MAX_RETRY".into(), 3, Some("the printer is on fire".into())));
    assert_eq!(attempts_at(&db, &id).await, ["FAILED"; 4]);
    assert_eq!((counted(&db, metric::RETRIES), counted(&db, metric::DEAD_LETTERS)), (3.0, 1.0));
    assert_eq!(db.count("inbox_queue WHERE state = 'review'").await, 1);
    let alerts = errors_about(&id);
    assert!(alerts.len() == 1 && alerts[0].contains("failed for the last time"), "{alerts:?}");
}

async fn a_rejected_event_goes_straight_to_the_dead_letters(db: Database) {
    let service = db.service(listeners![obey]).state(Diary::default()).start().await;
    service.publisher().publish(&Note::new("reject").saying("reject")).await.unwrap();
    service.idle().await.unwrap();
    assert_eq!(record_of(&db, "reject").await, ("FAILED_MAX_RETRY".into(), 0, Some("nobody lives there".into())));
    assert_eq!(attempts_at(&db, "reject").await, ["REJECTED"]);
    assert_eq!(db.count("event_production_log WHERE event_id = 'dl:obey:reject:0'").await, 1);
}

async fn retry_after_waits_as_long_as_the_handler_says_and_counts(db: Database) {
    let clock = Clock::manual(Timestamp::from_micros(1_800_000_000_000_000));
    let service = db.service(listeners![obey]).state(Diary::default()).clock(&clock).start().await;
    service.publisher().publish(&Note::new("later").saying("retry after")).await.unwrap();
    db.until_count("event_consumption_log WHERE status = 'FAILED' AND retry_count = 1", 1).await;
    let (due_at,): (String,) = db.row("due_at", "FROM inbox_queue").await;
    assert_eq!(due_at.parse::<Timestamp>().unwrap().since(clock.now()), Duration::from_secs(77));
    clock.advance(Duration::from_secs(77));
    service.idle().await.unwrap();
    assert_eq!(record_of(&db, "later").await.0, "PROCESSED");
    assert_eq!(attempts_at(&db, "later").await, ["FAILED", "SUCCESS"]);
    let delays: Vec<(Option<i64>,)> = db.rows("retry_delay_ms", "FROM event_attempt ORDER BY attempt_number").await;
    assert_eq!(delays, [(Some(77_000),), (None,)]);
}

async fn a_snoozed_event_comes_back_and_its_attempts_do_not_count(db: Database) {
    let (diary, clock) = (Diary::default(), Clock::manual(Timestamp::from_micros(1_800_000_000_000_000)));
    let service = db.service(listeners![obey]).state(diary.clone()).clock(&clock).start().await;
    service.publisher().publish(&Note::new("tired").saying("snooze")).await.unwrap();
    for times in 1..=6 {
        let snoozed = format!("event_attempt WHERE status = 'INTERRUPTED' AND attempt_number = {times}");
        db.until_count(&snoozed, 1).await;
        assert_eq!(record_of(&db, "tired").await.0, "RECEIVED");
        clock.advance(Duration::from_secs(30));
    }
    service.idle().await.unwrap();
    assert_eq!((record_of(&db, "tired").await.0.as_str(), record_of(&db, "tired").await.1), ("PROCESSED", 0));
    assert_eq!(diary.entries(), ["snooze 1"; 7], "every run is the first attempt");
}

async fn an_event_that_its_handler_calls_invalid_is_kept_and_its_id_is_free_again(db: Database) {
    let service = db.service(listeners![obey]).state(Diary::default()).start().await;
    service.publisher().publish(&Note::new("street").saying("invalid")).await.unwrap();
    service.idle().await.unwrap();
    assert_eq!(record_of(&db, "street").await, ("INVALID".into(), 0, Some("no such street".into())));
    // The corrected event comes under the same id.
    service.publisher().publish(&Note::new("street").saying("corrected")).await.unwrap();
    service.idle().await.unwrap();
    let statuses: Vec<(String,)> = db.rows("status", "FROM event_consumption_log ORDER BY id").await;
    assert_eq!(statuses, [("INVALID".to_owned(),), ("PROCESSED".to_owned(),)]);
}

fn must_be_polite(note: &Note) -> Result<(), String> {
    if note.text.contains("please") { Ok(()) } else { Err(format!("`{}` does not say please", note.text)) }
}

#[tracked_listener(validate = must_be_polite)]
async fn serve(note: Note, diary: State<Diary>) -> Result<(), HandlerError> {
    diary.write(note.id);
    Ok(())
}

async fn a_failed_validation_makes_the_event_invalid_and_the_handler_is_not_run(db: Database) {
    let diary = Diary::default();
    let service = db.service(listeners![serve]).state(diary.clone()).start().await;
    let notes = vec![Note::new("rude").saying("tea"), Note::new("polite").saying("tea, please")];
    service.publisher().publish_with(&notes, &tracked_events::PublishOptions::DEFAULT).await.unwrap();
    service.idle().await.unwrap();
    assert_eq!(record_of(&db, "rude").await, ("INVALID".into(), 0, Some("`tea` does not say please".into())));
    assert_eq!(record_of(&db, "polite").await.0, "PROCESSED");
    assert_eq!(diary.entries(), ["polite"]);
}

async fn a_panic_is_a_failed_attempt_with_its_message_and_place(db: Database) {
    let service = db.service(listeners![obey]).state(Diary::default()).start().await;
    service.publisher().publish(&Note::new("page").saying("panic")).await.unwrap();
    service.idle().await.unwrap();
    assert_eq!(attempts_at(&db, "page").await, ["PANIC", "SUCCESS"]);
    let (error, trace): (String, String) =
        db.row("error_message, error_stack_trace", "FROM event_attempt WHERE status = 'PANIC'").await;
    assert_eq!(error, "the handler panicked: the ink ran out at page 7");
    assert!(trace.contains("verdicts.rs"), "{trace}");
}

/// Work that nobody can stop: it ends when it is told to.
#[derive(Clone)]
struct Machine {
    stop: Arc<std::sync::Mutex<mpsc::Receiver<()>>>,
}

#[tracked_listener(blocking, timeout = "10ms", backoff = none)]
fn press(_note: Note, ctx: &EventContext, machine: State<Machine>, diary: State<Diary>) -> Result<(), BoxError> {
    diary.write(format!("begun {}", ctx.attempt()));
    if ctx.attempt() == 1 {
        machine.stop.lock().map_err(|_| "broken")?.recv()?;
    }
    diary.write(format!("ended {}", ctx.attempt()));
    Ok(())
}

async fn a_blocking_handler_that_overruns_is_waited_for_and_the_attempt_says_so(db: Database) {
    let ((stop, stopped), diary) = (mpsc::channel(), Diary::default());
    let machine = Machine { stop: Arc::new(std::sync::Mutex::new(stopped)) };
    let service = db.service(listeners![press]).state(machine).state(diary.clone()).start().await;
    service.publisher().publish(&Note::new("press")).await.unwrap();
    support::eventually("the first run begins", async || diary.len() == 1).await;
    let overrun = std::time::Instant::now();
    support::eventually("its timeout is over", async || overrun.elapsed() > Duration::from_millis(40)).await;
    assert_eq!(db.count("event_attempt").await, 0, "the attempt has not ended");
    stop.send(()).unwrap();
    service.idle().await.unwrap();

    assert_eq!(attempts_at(&db, "press").await, ["TIMEOUT", "SUCCESS"]);
    assert_eq!(diary.entries(), ["begun 1", "ended 1", "begun 2", "ended 2"], "no two runs at a time");
    let (error,): (String,) = db.row("error_message", "FROM event_attempt WHERE status = 'TIMEOUT'").await;
    let begin = "the handler did not end within its `timeout` of 10ms; it blocks, so its thread was waited for, ";
    assert!(error.starts_with(begin), "{error}");
}

async fn configuration_changes_a_listener_without_a_build(db: Database) {
    let service = db.service(listeners![obey]).listener("obey", |listener| {
        listener.retries = Some(1);
        listener.dead_letter = Some("graveyard".to_owned());
    });
    let service = service.state(Diary::default()).start().await;
    service.publisher().publish(&Note::new("fail").saying("fail")).await.unwrap();
    service.idle().await.unwrap();
    assert_eq!(attempts_at(&db, "fail").await, ["FAILED"; 2]);
    assert_eq!(db.count("event_production_log WHERE topic = 'graveyard' AND status = 'PUBLISHED'").await, 1);
}
