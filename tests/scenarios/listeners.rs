//! Who gets which event.

use support::{Database, on_every_database};
use tracked_events::prelude::*;

use crate::note::{Diary, Note, attempts_at, deliver, delivery, message, record_of};

on_every_database![
    every_listener_of_a_topic_has_a_record_of_its_own,
    one_topic_may_carry_several_types_and_each_listener_gets_its_own,
    an_event_that_nobody_wanted_is_handled_when_it_comes_again_and_a_listener_wants_it,
    a_delivery_seen_before_is_a_duplicate_for_each_listener,
    each_group_gets_every_event,
];

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "NOTE_BURNT", topic = "notes")]
struct NoteBurnt {
    id: String,
}

#[tracked_listener]
async fn read(note: Note, diary: State<Diary>) -> Result<(), HandlerError> {
    diary.write(format!("read {}", note.id));
    Ok(())
}

#[tracked_listener(retries = 0)]
async fn misread(note: Note, diary: State<Diary>) -> Result<(), String> {
    diary.write(format!("misread {}", note.id));
    Err("lost my glasses".to_owned())
}

#[tracked_listener]
async fn mourn(note: NoteBurnt, diary: State<Diary>) -> Result<(), HandlerError> {
    diary.write(format!("mourn {}", note.id));
    Ok(())
}

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "ANY", topic = "notes")]
struct Anything(serde_json::Value);

#[tracked_listener(event_type = "*")]
async fn count(_event: Anything, ctx: &EventContext, diary: State<Diary>) -> Result<(), HandlerError> {
    diary.write(format!("count {} {}", ctx.event_type(), ctx.event_id()));
    Ok(())
}

#[tracked_listener(group = "archive")]
async fn keep(note: Note, diary: State<Diary>) -> Result<(), HandlerError> {
    diary.write(format!("keep {}", note.id));
    Ok(())
}

fn sorted(diary: &Diary) -> Vec<String> {
    let mut entries = diary.entries();
    entries.sort();
    entries
}

async fn every_listener_of_a_topic_has_a_record_of_its_own(db: Database) {
    let diary = Diary::default();
    let service = db.service(listeners![read, misread]).state(diary.clone()).start().await;
    service.publisher().publish(&Note::new("a")).await.unwrap();
    service.idle().await.unwrap();
    assert_eq!(sorted(&diary), ["misread a", "read a"]);
    let records: Vec<(String, String)> =
        db.rows("handler_name, status", "FROM event_consumption_log ORDER BY handler_name").await;
    let expected = [("misread", "FAILED_MAX_RETRY"), ("read", "PROCESSED")];
    assert_eq!(records, expected.map(|(listener, status)| (listener.to_owned(), status.to_owned())));
}

fn burnt(id: &str) -> tracked_events::store::StagedEvent {
    let mut burnt = message(id, format!(r#"{{"id":"{id}"}}"#).into_bytes());
    burnt.envelope.event_type = Some(NoteBurnt::EVENT_TYPE.to_owned());
    burnt
}

async fn one_topic_may_carry_several_types_and_each_listener_gets_its_own(db: Database) {
    let diary = Diary::default();
    let service = db.service(listeners![read, mourn, count]).state(diary.clone()).start().await;
    deliver(&service, vec![delivery(&Note::new("a")), burnt("b")]).await;
    service.idle().await.unwrap();
    assert_eq!(sorted(&diary), ["count NOTE_BURNT b", "count NOTE_TAKEN a", "mourn b", "read a"]);
    assert_eq!(db.count("event_consumption_log WHERE status = 'PROCESSED'").await, 4);
    assert_eq!(db.count("event_consumption_log").await, 4);
}

async fn an_event_that_nobody_wanted_is_handled_when_it_comes_again_and_a_listener_wants_it(db: Database) {
    let diary = Diary::default();
    let before = db.service(listeners![read]).state(diary.clone()).instance("one").start().await;
    deliver(&before, vec![burnt("b")]).await;
    before.idle().await.unwrap();
    let (status, _, error) = record_of(&db, "b").await;
    assert_eq!(status, "NO_HANDLER");
    let expected = format!(
        "no listener for event type `NOTE_BURNT` in group `{}`; add one, or subscribe with `event_type = \"*\"`",
        db.service_name()
    );
    assert_eq!(error, Some(expected));
    before.drain().await.unwrap();

    let after = db.service(listeners![read, mourn]).state(diary.clone()).instance("one").start().await;
    deliver(&after, vec![burnt("b")]).await;
    after.idle().await.unwrap();
    assert_eq!(diary.entries(), ["mourn b"]);
    let records: Vec<(String, String)> = db.rows("handler_name, status", "FROM event_consumption_log").await;
    assert_eq!(records, [("mourn".to_owned(), "PROCESSED".to_owned())], "the same record was reopened");
    deliver(&after, vec![burnt("b")]).await;
    after.idle().await.unwrap();
    assert_eq!(diary.entries(), ["mourn b"]);
    assert_eq!(db.count("event_consumption_log WHERE status = 'DUPLICATE'").await, 1);
}

async fn a_delivery_seen_before_is_a_duplicate_for_each_listener(db: Database) {
    let diary = Diary::default();
    let service = db.service(listeners![read, misread]).state(diary.clone()).start().await;
    deliver(&service, (0..3).map(|_| delivery(&Note::new("a"))).collect()).await;
    service.idle().await.unwrap();
    assert_eq!(sorted(&diary), ["misread a", "read a"]);
    let duplicates: Vec<(String, i64)> = db
        .rows(
            "handler_name, count(*)",
            "FROM event_consumption_log WHERE status = 'DUPLICATE' AND payload IS NULL GROUP BY handler_name
             ORDER BY handler_name",
        )
        .await;
    assert_eq!(duplicates, [("misread".to_owned(), 2), ("read".to_owned(), 2)]);
    assert_eq!(attempts_at(&db, "a").await.len(), 2);
}

async fn each_group_gets_every_event(db: Database) {
    let diary = Diary::default();
    let service = db.service(listeners![read, keep]).state(diary.clone()).start().await;
    service.publisher().publish(&Note::new("a")).await.unwrap();
    service.idle().await.unwrap();
    assert_eq!(sorted(&diary), ["keep a", "read a"]);
    let groups: Vec<(String,)> = db.rows("consumer_group", "FROM event_consumption_log ORDER BY consumer_group").await;
    assert_eq!(groups, [("archive".to_owned(),), (db.service_name(),)]);
}
