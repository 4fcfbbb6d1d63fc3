//! From an event to those that it causes, and what the outbox promises.

use std::collections::{BTreeMap, BTreeSet};

use support::{Database, on_every_database};
use tracked_events::{PublishOptions, prelude::*};

use crate::note::{Diary, Note, attempts_at, deliver, delivery};

on_every_database![
    a_retried_handler_publishes_the_same_events_again_and_they_are_handled_once,
    correlation_is_inherited_and_each_event_knows_its_cause,
    events_of_a_key_keep_their_order_on_the_broker,
    a_poisoned_row_blocks_only_its_key,
];

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "COPY_MADE", topic = "copies")]
struct CopyMade {
    of: String,
    number: u32,
}

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "COPY_SENT", topic = "sent")]
struct CopySent {
    of: String,
}

/// Publishes two copies without a transaction, and fails once after it.
#[tracked_listener(backoff = none)]
async fn copy_note(note: Note, ctx: &EventContext, publisher: Publisher) -> Result<(), BoxError> {
    for number in 0..2 {
        publisher.publish(&CopyMade { of: note.id.clone(), number }).await?;
    }
    if ctx.attempt() == 1 { Err("out of paper".into()) } else { Ok(()) }
}

#[tracked_listener]
async fn send_copy(copy: CopyMade, publisher: Publisher, diary: State<Diary>) -> Result<(), BoxError> {
    diary.write(format!("{} {}", copy.of, copy.number));
    publisher.publish(&CopySent { of: copy.of }).await?;
    Ok(())
}

async fn a_retried_handler_publishes_the_same_events_again_and_they_are_handled_once(db: Database) {
    let diary = Diary::default();
    let service = db.service(listeners![copy_note, send_copy]).state(diary.clone()).start().await;
    service.publisher().publish(&Note::new("a")).await.unwrap();
    service.idle().await.unwrap();

    assert_eq!(attempts_at(&db, "a").await, ["FAILED", "SUCCESS"]);
    let published: Vec<(String, String)> = db
        .rows(
            &format!("event_id, {}", db.text("payload")),
            "FROM event_production_log WHERE topic = 'copies' ORDER BY id",
        )
        .await;
    assert_eq!(published.len(), 4, "each attempt published two");
    assert_eq!(published[..2], published[2..], "the second attempt published the same ids");
    assert_ne!(published[0].0, published[1].0);
    let mut sent = diary.entries();
    sent.sort();
    assert_eq!(sent, ["a 0", "a 1"]);
    assert_eq!(db.count("event_consumption_log WHERE topic = 'copies' AND status = 'DUPLICATE'").await, 2);
}

/// Topic, id, correlation id, causation id and trace.
type Row = (String, String, Option<String>, Option<String>, Option<String>);

async fn correlation_is_inherited_and_each_event_knows_its_cause(db: Database) {
    let service = db.service(listeners![copy_note, send_copy]).state(Diary::default()).start().await;
    let mut first = delivery(&Note::new("root"));
    first.envelope.correlation_id = Some("request-7".to_owned());
    first.envelope.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    deliver(&service, vec![first]).await;
    service.idle().await.unwrap();

    let rest = "FROM event_production_log ORDER BY id";
    let all: Vec<Row> = db.rows("topic, event_id, correlation_id, causation_id, traceparent", rest).await;
    let copies: BTreeSet<_> =
        all.iter().filter(|event| event.0 == "copies").map(|event| Some(event.1.clone())).collect();
    for (topic, _, correlation, cause, trace) in &all {
        assert_eq!(correlation.as_deref(), Some("request-7"), "{topic}");
        assert!(trace.as_deref().is_some_and(|trace| trace.contains("0af7651916cd43dd8448eb211c80319c")), "{topic}");
        match topic.as_str() {
            "notes" => assert_eq!(*cause, None),
            "copies" => assert_eq!(cause.as_deref(), Some("root")),
            _ => assert!(copies.contains(cause), "{cause:?} is no copy"),
        }
    }
    assert_eq!(all.iter().filter(|event| event.0 == "sent").count(), 2);
}

#[tracked_listener(order = "key")]
async fn in_order(note: Note, diary: State<Diary>) -> Result<(), HandlerError> {
    diary.write(note.id);
    Ok(())
}

async fn events_of_a_key_keep_their_order_on_the_broker(db: Database) {
    let service = db.service(listeners![in_order]).state(Diary::default()).start().await;
    let notes: Vec<_> = (0..500).map(|number| Note::of(&format!("key-{}", number % 25), number.to_string())).collect();
    for part in notes.chunks(50) {
        service.publisher().publish_with(&part.to_vec(), &PublishOptions::DEFAULT).await.unwrap();
    }
    service.idle().await.unwrap();
    let rest = r#"FROM event_production_log ORDER BY partition_number, "offset""#;
    let log: Vec<(i64, i64, String, String)> =
        db.rows(&format!(r#"partition_number, "offset", {}, event_id"#, db.text("event_key")), rest).await;
    assert_eq!(log.len(), 500);
    let (mut last, mut next) = (BTreeMap::new(), BTreeMap::new());
    for (partition, offset, key, id) in log {
        assert_eq!(next.insert(partition, offset + 1).unwrap_or(0), offset, "offsets have no gap");
        let number: i64 = id.parse().unwrap();
        let (home, before) = last.insert(key, (partition, number)).unwrap_or((partition, -1));
        assert!(home == partition && before < number, "{id} after {before}, in {partition} and {home}");
    }
}

async fn a_poisoned_row_blocks_only_its_key(db: Database) {
    let diary = Diary::default();
    let first = db.service(listeners![in_order]).state(diary.clone()).start().await;
    first.drain().await.unwrap();
    let notes = ["bad", "good"].map(|key| (0..3).map(move |number| Note::of(key, format!("{key}-{number}"))));
    for note in notes.into_iter().flatten() {
        deliver(&first, vec![delivery(&note)]).await;
    }
    // What the relay writes when a broker refuses a row for now.
    db.script(
        "UPDATE event_production_log SET status = 'FAILED', retry_count = 1, error_message = 'too large' WHERE event_id = 'bad-0';
         UPDATE outbox_queue SET state = 'failed', due_at = '2900-01-01 00:00:00.000000'
         WHERE production_id = (SELECT id FROM event_production_log WHERE event_id = 'bad-0');",
    )
    .await;
    let service = db.service(listeners![in_order]).state(diary.clone()).start().await;
    db.until_count("event_consumption_log WHERE status = 'PROCESSED'", 3).await;
    assert_eq!(diary.entries(), ["good-0", "good-1", "good-2"]);
    let waiting: Vec<(String, String)> =
        db.rows("event_id, status", "FROM event_production_log WHERE status <> 'PUBLISHED' ORDER BY id").await;
    let expected = [("bad-0", "FAILED"), ("bad-1", "PENDING"), ("bad-2", "PENDING")];
    assert_eq!(waiting, expected.map(|(id, status)| (id.to_owned(), status.to_owned())));

    db.script("UPDATE outbox_queue SET due_at = '2020-01-01 00:00:00.000000' WHERE state = 'failed'").await;
    service.idle().await.unwrap();
    assert_eq!(diary.entries()[3..], ["bad-0", "bad-1", "bad-2"]);
}
