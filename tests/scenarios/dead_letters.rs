//! What a dead letter contains, and where it goes.

use std::collections::BTreeMap;

use support::{Database, on_every_database};
use tracked_events::{
    envelope::{Header, headers_from_json},
    prelude::*,
    store::{OperatorAct, OperatorAction},
};

use crate::note::{Diary, deliver, message};

on_every_database![
    a_dead_letter_has_the_events_own_bytes_and_says_where_they_came_from,
    a_dead_letter_that_is_sent_again_and_fails_again_is_a_new_one,
];

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "NOTE_TAKEN", topic = "notes")]
struct AnyNote(serde_json::Value);

#[tracked_listener(backoff = none, retries = 1)]
async fn shred(_note: AnyNote) -> Result<(), BoxError> {
    Err("the shredder is full".into())
}

#[tracked_listener(topic = "notes.dlq", event_type = "*")]
async fn bury(letter: AnyNote, ctx: &EventContext, diary: State<Diary>) -> Result<(), HandlerError> {
    diary.write(format!("{} {}", ctx.event_id(), letter.0));
    Ok(())
}

async fn a_dead_letter_has_the_events_own_bytes_and_says_where_they_came_from(db: Database) {
    let diary = Diary::default();
    let service = db.service(listeners![shred, bury]).state(diary.clone()).start().await;
    // Not as this library would have written it: the bytes themselves are kept.
    let payload = b"{ \"b\" : 1.0,\n \"a\": \"\\u00e9\" }".to_vec();
    let mut original = message("m1", payload.clone());
    original.envelope.key = Some(vec![0x00, 0xff]);
    original.envelope.headers = vec![Header::new("tenant", "blue"), Header::new("odd", vec![0xff, 0x00])];
    original.envelope.correlation_id = Some("request-1".to_owned());
    deliver(&service, vec![original]).await;
    service.idle().await.unwrap();

    let columns = format!(
        "event_id, topic, status, causation_id, correlation_id, event_type, {}, {}, headers",
        db.hex("payload"),
        db.hex("event_key")
    );
    let letter: (String, String, String, String, String, String, String, String, String) =
        db.row(&columns, "FROM event_production_log WHERE kind = 'dead_letter'").await;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!((letter.0.as_str(), letter.1.as_str(), letter.2.as_str()), ("dl:shred:m1:0", "notes.dlq", "PUBLISHED"));
    assert_eq!((letter.3.as_str(), letter.4.as_str(), letter.5.as_str()), ("m1", "request-1", "NOTE_TAKEN"));
    assert_eq!((letter.6, letter.7), (hex(&payload), "00ff".to_owned()));

    let headers = headers_from_json(Some(&letter.8));
    assert_eq!(headers[..2], [Header::new("tenant", "blue"), Header::new("odd", vec![0xff, 0x00])]);
    let said: BTreeMap<_, _> =
        headers[2..].iter().map(|header| (header.name.as_str(), std::str::from_utf8(&header.value).unwrap())).collect();
    let (partition, offset): (i64, i64) =
        db.row(r#"partition_number, "offset""#, "FROM event_consumption_log WHERE handler_name = 'shred'").await;
    let (partition, offset, group) = (partition.to_string(), offset.to_string(), db.service_name());
    let expected = BTreeMap::from([
        ("dl-topic", "notes"),
        ("dl-partition", partition.as_str()),
        ("dl-offset", offset.as_str()),
        ("dl-event-id", "m1"),
        ("dl-group", group.as_str()),
        ("dl-listener", "shred"),
        ("dl-attempts", "2"),
        ("dl-error", "the shredder is full"),
    ]);
    assert_eq!(said, expected);
    assert_eq!(diary.entries(), [r#"dl:shred:m1:0 {"a":"é","b":1.0}"#]);
}

async fn a_dead_letter_that_is_sent_again_and_fails_again_is_a_new_one(db: Database) {
    let service = db.service(listeners![shred]).start().await;
    deliver(&service, vec![message("m1", b"1".to_vec())]).await;
    service.idle().await.unwrap();
    for redrive in 1..=2 {
        let (id,): (i64,) = db.row("id", "FROM event_consumption_log WHERE status = 'FAILED_MAX_RETRY'").await;
        let act = OperatorAct {
            ids: vec![id],
            action: OperatorAction::Retry,
            operator: "ann".to_owned(),
            reason: None,
            now: service.clock().now(),
        };
        assert_eq!(service.store().act(act).await.unwrap(), [id]);
        db.until_count(&format!("event_production_log WHERE event_id = 'dl:shred:m1:{redrive}'"), 1).await;
        service.idle().await.unwrap();
    }
    assert_eq!(db.count("event_attempt").await, 6, "each time with fresh retries");
    assert_eq!(db.count("operator_action WHERE action = 'retry' AND status_to = 'RECEIVED'").await, 2);
}
