//! Events of one key are handled in order, whatever happens to them.

use std::collections::BTreeMap;

use support::{Database, eventually, on_every_database};
use tracked_events::{
    Handle, PublishOptions,
    prelude::*,
    store::{OperatorAct, OperatorAction},
};

use crate::note::{Diary, Note};

on_every_database![
    events_of_a_key_are_handled_in_order_through_retries_panics_and_dead_letters,
    a_dead_letter_holds_its_key_until_an_operator_discards_it,
    a_dead_letter_holds_its_key_until_an_operator_has_it_tried_again,
];

/// Fails as often as the note says, in one way or another.
#[tracked_listener(order = "key", backoff = fixed(delay = "5ms"), queue = 40)]
async fn follow(note: Note, ctx: &EventContext, diary: State<Diary>) -> Result<(), BoxError> {
    diary.write(format!("{} {}", note.id, ctx.attempt()));
    tokio::task::yield_now().await;
    let failures: u32 = note.text.parse()?;
    match ctx.attempt() {
        attempt if attempt > failures => Ok(()),
        2 => panic!("lost the thread"),
        _ => Err("not yet".into()),
    }
}

async fn events_of_a_key_are_handled_in_order_through_retries_panics_and_dead_letters(db: Database) {
    const KEYS: usize = 20;
    const EACH: usize = 8;
    let diary = Diary::default();
    let service = db.service(listeners![follow]).state(diary.clone()).start().await;
    let notes: Vec<_> = (0..KEYS * EACH)
        .map(|number| {
            let (key, place) = (number % KEYS, number / KEYS);
            // None, one, two or three failures; now and then one too many.
            let failures = if (key + place).is_multiple_of(13) { 4 } else { (key * 7 + place * 3) % 4 };
            Note::of(&format!("key-{key}"), format!("{key}:{place}")).saying(&failures.to_string())
        })
        .collect();
    for part in notes.chunks(120) {
        service.publisher().publish_with(&part.to_vec(), &PublishOptions::DEFAULT).await.unwrap();
    }
    service.idle().await.unwrap();

    let mut runs: BTreeMap<String, Vec<(usize, u32)>> = BTreeMap::new();
    for entry in diary.entries() {
        let (id, attempt) = entry.split_once(' ').unwrap();
        let (key, place) = id.split_once(':').unwrap();
        runs.entry(key.to_owned()).or_default().push((place.parse().unwrap(), attempt.parse().unwrap()));
    }
    let mut expected: BTreeMap<String, Vec<(usize, u32)>> = BTreeMap::new();
    for note in &notes {
        let (key, place) = note.id.split_once(':').unwrap();
        let attempts = note.text.parse::<u32>().unwrap().min(3) + 1;
        let runs = expected.entry(key.to_owned()).or_default();
        runs.extend((1..=attempts).map(|attempt| (place.parse().unwrap(), attempt)));
    }
    for (key, expected) in expected {
        assert_eq!(runs[&key], expected, "the runs of key {key}, in their order");
    }
    let dead = notes.iter().filter(|note| note.text == "4").count();
    assert!(dead > 0);
    assert_eq!(db.count("event_consumption_log WHERE status = 'FAILED_MAX_RETRY'").await, i64::try_from(dead).unwrap());
}

#[tracked_listener(order = "key", on_dead_letter = "hold_key", retries = 0)]
async fn insist(note: Note, diary: State<Diary>) -> Result<(), BoxError> {
    diary.write(&note.id);
    let refused = note.text == "refuse" && diary.entries().iter().filter(|id| **id == note.id).count() == 1;
    if refused { Err("not like this".into()) } else { Ok(()) }
}

/// Starts, lets the first of key `a` die, and sees that only key `a` waits.
async fn with_a_held_key(db: &Database, diary: &Diary) -> (Handle, i64) {
    let service = db.service(listeners![insist]).state(diary.clone()).start().await;
    let notes = vec![
        Note::of("a", "a1").saying("refuse"),
        Note::of("a", "a2"),
        Note::of("b", "b1"),
        Note::of("a", "a3"),
        Note::of("b", "b2"),
    ];
    service.publisher().publish_with(&notes, &PublishOptions::DEFAULT).await.unwrap();
    db.until_count("event_consumption_log WHERE status IN ('PROCESSED', 'FAILED_MAX_RETRY')", 3).await;
    service.publisher().publish(&Note::of("a", "a4")).await.unwrap();
    service.publisher().publish(&Note::of("b", "b3")).await.unwrap();
    db.until_count("event_consumption_log WHERE status = 'PROCESSED'", 3).await;
    db.until_count("event_consumption_log WHERE status = 'RECEIVED'", 3).await;
    let (dead,): (i64,) = db.row("id", "FROM event_consumption_log WHERE status = 'FAILED_MAX_RETRY'").await;
    assert!(diary.entries().iter().filter(|id| id.starts_with('a')).eq(["a1"]));
    (service, dead)
}

async fn act(service: &Handle, id: i64, action: OperatorAction) {
    let act = OperatorAct {
        ids: vec![id],
        action,
        operator: "ann".to_owned(),
        reason: Some("looked at it".to_owned()),
        now: service.clock().now(),
    };
    assert_eq!(service.store().act(act).await.unwrap(), [id]);
}

async fn a_dead_letter_holds_its_key_until_an_operator_discards_it(db: Database) {
    let diary = Diary::default();
    let (service, dead) = with_a_held_key(&db, &diary).await;
    act(&service, dead, OperatorAction::Discard).await;
    eventually("the key goes on", async || diary.entries().iter().any(|id| id == "a4")).await;
    service.idle().await.unwrap();
    assert!(diary.entries().iter().filter(|id| id.starts_with('a')).eq(["a1", "a2", "a3", "a4"]));
    let actions: Vec<(String, String, String, String)> =
        db.rows("action, status_from, status_to, operator", "FROM operator_action").await;
    let expected = ("discard".to_owned(), "FAILED_MAX_RETRY".to_owned(), "DISCARDED".to_owned(), "ann".to_owned());
    assert_eq!(actions, [expected]);
}

async fn a_dead_letter_holds_its_key_until_an_operator_has_it_tried_again(db: Database) {
    let diary = Diary::default();
    let (service, dead) = with_a_held_key(&db, &diary).await;
    act(&service, dead, OperatorAction::Retry).await;
    eventually("the key goes on", async || diary.entries().iter().any(|id| id == "a4")).await;
    service.idle().await.unwrap();
    assert!(diary.entries().iter().filter(|id| id.starts_with('a')).eq(["a1", "a1", "a2", "a3", "a4"]));
    assert_eq!(db.count("event_consumption_log WHERE status = 'PROCESSED'").await, 7);
    assert_eq!(db.count("event_consumption_log WHERE redrive_count = 1").await, 1);
}
