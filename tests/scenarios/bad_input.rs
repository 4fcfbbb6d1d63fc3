//! Whatever is on a topic is kept, says what is wrong with it, and stands in nobody's way.

use chrono::{DateTime, Utc};
use support::{Database, on_every_database};
use tracked_events::{envelope::Header, prelude::*, store::StagedEvent};

use crate::note::{Diary, Note, deliver, delivery, message};

on_every_database![
    no_bad_input_blocks_or_is_lost_and_each_says_what_is_wrong,
    the_same_id_with_another_body_is_kept_as_invalid_beside_the_first,
    a_name_that_no_row_can_hold_does_not_block_its_batch,
];

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "TREE_PLANTED", topic = "notes")]
struct TreePlanted {
    tree: serde_json::Value,
}

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "MEETING_SET", topic = "notes")]
struct MeetingSet {
    at: DateTime<Utc>,
}

#[tracked_listener]
async fn read_note(note: Note, diary: State<Diary>) -> Result<(), HandlerError> {
    diary.write(&note.id);
    match note.text.strip_prefix("refuse ") {
        Some(why) => Err(HandlerError::reject(why)),
        None => Ok(()),
    }
}

#[tracked_listener]
async fn water_tree(_tree: TreePlanted) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
async fn attend(_meeting: MeetingSet) -> Result<(), HandlerError> {
    Ok(())
}

/// What becomes of a message: its status, and how its error begins.
struct Case(StagedEvent, &'static str, Option<&'static str>);

fn of_type(mut message: StagedEvent, event_type: &str) -> StagedEvent {
    message.envelope.event_type = Some(event_type.to_owned());
    message
}

fn meeting(id: &str, at: &str) -> StagedEvent {
    of_type(message(id, format!(r#"{{"at":"{at}"}}"#).into_bytes()), MeetingSet::EVENT_TYPE)
}

fn with_key(mut message: StagedEvent, key: Vec<u8>) -> StagedEvent {
    message.envelope.key = Some(key);
    message
}

fn with_headers(mut message: StagedEvent, headers: Vec<Header>) -> StagedEvent {
    message.envelope.headers = headers;
    message
}

fn cannot_be_decoded() -> Vec<Case> {
    let invalid = |id: &str, payload: &[u8], error| Case(message(id, payload.to_vec()), "INVALID", Some(error));
    let nested = format!(r#"{{"tree":{}{}}}"#, "[".repeat(1000), "]".repeat(1000)).into_bytes();
    vec![
        invalid(
            "not-utf-8",
            b"{\"id\":\"a\",\"key\":null,\"text\":\"\xff\"}",
            "the payload is not a valid `NOTE_TAKEN`: invalid unicode code point at line 1 column",
        ),
        invalid(
            "wrong-type",
            br#"{"id":"a","key":null,"text":7}"#,
            "the payload is not a valid `NOTE_TAKEN`: invalid type: integer `7`, expected a string at line 1 column",
        ),
        invalid(
            "missing-field",
            br#"{"id":"a","key":null}"#,
            "the payload is not a valid `NOTE_TAKEN`: missing field `text` at line 1 column",
        ),
        invalid("empty", b"", "the payload is not a valid `NOTE_TAKEN`: EOF while parsing a value at line 1 column 0"),
        Case(
            message("tombstone", None),
            "INVALID",
            Some("the message has no payload (a tombstone); event type `NOTE_TAKEN` needs a JSON document"),
        ),
        Case(
            of_type(message("deep", nested), TreePlanted::EVENT_TYPE),
            "INVALID",
            Some("the payload is not a valid `TREE_PLANTED`: recursion limit exceeded at line 1 column"),
        ),
        Case(
            meeting("no-date", "tomorrow"),
            "INVALID",
            Some("the payload is not a valid `MEETING_SET`: input contains invalid characters at line 1 column"),
        ),
        Case(
            of_type(message("unknown", b"{}".to_vec()), "TREE_FELLED"),
            "NO_HANDLER",
            Some("no listener for event type `TREE_FELLED` in group `service-"),
        ),
    ]
}

fn odd_but_good() -> Vec<Case> {
    let note = |id: &str, text: &str| message(id, serde_json::to_vec(&Note::new(id).saying(text)).unwrap());
    let headers = (0..10_000).map(|number| Header::new(format!("header-{number}"), vec![0xff, 0x00, 0x41])).collect();
    vec![
        Case(note("nul", "a\0b"), "PROCESSED", None),
        Case(note("nul-in-error", "refuse a\0b"), "FAILED_MAX_RETRY", Some("a\u{fffd}b")),
        Case(note("large", &"x".repeat(10 << 20)), "PROCESSED", None),
        Case(with_headers(note("many-headers", "x"), headers), "PROCESSED", None),
        Case(with_key(note("odd-key", "x"), vec![0xfe; 10 << 10]), "PROCESSED", None),
        Case(meeting("at-the-beginning", "1970-01-01T00:00:00Z"), "PROCESSED", None),
        Case(meeting("at-the-end", "9999-12-31T23:59:59Z"), "PROCESSED", None),
    ]
}

async fn no_bad_input_blocks_or_is_lost_and_each_says_what_is_wrong(db: Database) {
    let diary = Diary::default();
    let listeners = listeners![read_note, water_tree, attend];
    let service = db.service(listeners).state(diary.clone()).start().await;
    let cases: Vec<_> = cannot_be_decoded().into_iter().chain(odd_but_good()).collect();
    // A good one behind each, in the same partition as far as its key can tell.
    for (number, Case(staged, ..)) in cases.iter().enumerate() {
        let good = delivery(&Note::new(format!("good-{number}")));
        let good = StagedEvent {
            envelope: tracked_events::envelope::Envelope { key: staged.envelope.key.clone(), ..good.envelope },
            ..good
        };
        deliver(&service, vec![staged.clone(), good]).await;
    }
    service.idle().await.unwrap();

    for Case(staged, status, error) in &cases {
        let id = &staged.envelope.event_id;
        let rest = format!("FROM event_consumption_log WHERE event_id = '{id}'");
        let found: (String, Option<String>) = db.row("status, error_message", &rest).await;
        assert_eq!(found.0, *status, "{id}: {:?}", found.1);
        let begins_right = match (&found.1, error) {
            (Some(found), Some(error)) => found.starts_with(error),
            (found, error) => found.is_none() && error.is_none(),
        };
        assert!(begins_right, "{id} says {:?}, not {error:?}", found.1);
        let kept: (Option<i64>, Option<i64>) = db.row("length(payload), length(event_key)", &rest).await;
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| i64::try_from(bytes.len()).unwrap());
        assert_eq!(kept, (length(&staged.envelope.payload), length(&staged.envelope.key)), "{id} is kept whole");
    }
    for number in 0..cases.len() {
        assert_eq!(
            db.count(&format!("event_consumption_log WHERE event_id = 'good-{number}' AND status = 'PROCESSED'")).await,
            1
        );
    }
    let rest = "FROM event_consumption_log WHERE event_id = 'many-headers'";
    let (headers,): (String,) = db.row("headers", rest).await;
    let headers: Vec<serde_json::Value> = serde_json::from_str(&headers).unwrap();
    assert_eq!((headers.len(), headers[9_999]["hex"].as_str()), (10_000, Some("ff0041")));
    let (key,): (String,) = db.row(&db.hex("event_key"), "FROM event_consumption_log WHERE event_id = 'odd-key'").await;
    assert_eq!(key, "fe".repeat(10 << 10));
}

/// Id, status, error, metadata and the payload's length.
type Kept = (i64, String, Option<String>, Option<String>, Option<i64>);

async fn the_same_id_with_another_body_is_kept_as_invalid_beside_the_first(db: Database) {
    let diary = Diary::default();
    let service = db.service(listeners![read_note]).state(diary.clone()).start().await;
    deliver(&service, vec![delivery(&Note::new("twice"))]).await;
    service.idle().await.unwrap();
    deliver(&service, vec![delivery(&Note::new("twice").saying("something else")), delivery(&Note::new("twice"))])
        .await;
    service.idle().await.unwrap();

    let records: Vec<Kept> =
        db.rows("id, status, error_message, metadata, length(payload)", "FROM event_consumption_log ORDER BY id").await;
    let first = records[0].0;
    let statuses: Vec<_> = records.iter().map(|record| record.1.as_str()).collect();
    let conflict = records.iter().find(|record| record.1 == "INVALID").expect("the other content");
    assert_eq!(conflict.2.as_deref(), Some("same id, other content"));
    assert_eq!(conflict.3, Some(format!(r#"{{"conflicts_with":{first}}}"#)));
    assert!(conflict.4.is_some(), "the other content is kept whole");
    let duplicate = records.iter().find(|record| record.1 == "DUPLICATE").expect("the same content");
    assert_eq!((duplicate.3.clone(), duplicate.4), (Some(format!(r#"{{"duplicate_of":{first}}}"#)), None));
    assert_eq!(statuses.len(), 3);
    assert_eq!(diary.entries(), ["twice"], "the handler ran once");
}

async fn a_name_that_no_row_can_hold_does_not_block_its_batch(db: Database) {
    let diary = Diary::default();
    let service = db.service(listeners![read_note]).state(diary.clone()).start().await;
    let mut odd = delivery(&Note::new("odd"));
    odd.envelope.correlation_id = Some("c".repeat(5_000));
    odd.envelope.traceparent = Some("not a trace".to_owned());
    odd.envelope.content_type = Some("application/x-unheard-of".to_owned());
    deliver(&service, vec![odd, delivery(&Note::new("even"))]).await;
    service.idle().await.unwrap();
    let mut handled = diary.entries();
    handled.sort();
    assert_eq!(handled, ["even", "odd"]);
    let (correlation,): (String,) = db.row("correlation_id", "FROM event_consumption_log WHERE event_id = 'odd'").await;
    assert_eq!(correlation.len(), 5_000);
}
