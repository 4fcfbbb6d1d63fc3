//! The checker can fail: each kind of damage to a sound record is named.

use super::{
    Record, problems,
    record::{Attempt, Consumed, Open, Published, Run},
    wanting,
};

/// Two notes of a key that all listeners handled, and one that `book` gave up.
fn sound() -> Record {
    let mut record = Record::default();
    for note in ["note-0", "note-7", "note-14"] {
        record.business.push(note.to_owned());
        publish(&mut record, note, "NOTE_TAKEN", None);
    }
    for note in ["note-0", "note-7"] {
        record.effects.push(note.to_owned());
        publish(&mut record, &format!("booked-{note}"), "NOTE_BOOKED", Some(note));
        publish(&mut record, &format!("scribbled-{note}"), "NOTE_SCRIBBLED", Some(note));
    }
    publish(&mut record, "scribbled-note-14", "NOTE_SCRIBBLED", Some("note-14"));
    give_up(&mut record);
    record
}

/// Publishes, and has it consumed by all who want it.
fn publish(record: &mut Record, event_id: &str, event_type: &str, cause: Option<&str>) {
    let topic = if cause.is_none() { "notes" } else { "follow-ups" };
    let offset = record.published.iter().filter(|row| row.topic == topic).count();
    let place = Some((0, i64::try_from(offset).unwrap()));
    let id = i64::try_from(record.published.len()).unwrap();
    record.published.push(Published {
        id,
        event_id: event_id.to_owned(),
        topic: topic.to_owned(),
        event_type: event_type.to_owned(),
        kind: "event".to_owned(),
        status: "PUBLISHED".to_owned(),
        place,
        cause: cause.map(str::to_owned),
        key: cause.is_none().then(|| "key-0".to_owned()),
    });
    record.published_transitions.push((id, None, "PENDING".to_owned()));
    record.published_transitions.push((id, Some("PENDING".to_owned()), "PUBLISHED".to_owned()));
    for &listener in wanting(event_type) {
        consume(record, event_id, listener, topic, place);
    }
}

fn consume(record: &mut Record, event_id: &str, listener: &str, topic: &str, place: Option<(i32, i64)>) {
    let id = i64::try_from(record.consumed.len()).unwrap();
    record.consumed.push(Consumed {
        id,
        event_id: event_id.to_owned(),
        topic: topic.to_owned(),
        place,
        listener: listener.to_owned(),
        status: "PROCESSED".to_owned(),
    });
    record.runs.push(Run { listener: listener.to_owned(), event_id: event_id.to_owned() });
    record.attempts.push(Attempt { record: id, number: 1, status: "SUCCESS".to_owned() });
    record.consumed_transitions.push((id, None, "PROCESSING".to_owned()));
    record.consumed_transitions.push((id, Some("PROCESSING".to_owned()), "PROCESSED".to_owned()));
}

/// `book` gave up `note-14`.
fn give_up(record: &mut Record) {
    let given_up = record.consumed.iter_mut().find(|row| row.listener == "book" && row.event_id == "note-14").unwrap();
    given_up.status = "FAILED_MAX_RETRY".to_owned();
    let id = given_up.id;
    record.attempts.iter_mut().find(|attempt| attempt.record == id).unwrap().status = "FAILED".to_owned();
    let last = record.consumed_transitions.iter_mut().rfind(|(record, ..)| *record == id).unwrap();
    last.2 = "FAILED_MAX_RETRY".to_owned();
    publish(record, "dl:book:note-14:0", "NOTE_TAKEN dead", None);
    let letter = record.published.last_mut().unwrap();
    letter.kind = "dead_letter".to_owned();
}

/// Which record of the consumption log `listener` has of an event.
fn at(record: &Record, listener: &str, event_id: &str) -> usize {
    record.consumed.iter().position(|row| row.listener == listener && row.event_id == event_id).unwrap()
}

/// Damages a sound record, and expects the checker to say so.
#[track_caller]
fn expect(damage: impl FnOnce(&mut Record), named: &str) {
    let mut record = sound();
    damage(&mut record);
    let found = problems(&record);
    assert!(found.iter().any(|problem| problem.contains(named)), "`{named}` is not among {found:#?}");
}

#[test]
fn a_sound_record_has_no_problems() {
    assert_eq!(problems(&sound()), Vec::<String>::new());
}

#[test]
fn what_was_lost_is_named() {
    expect(|record| drop(record.published.remove(0)), "lost: `note-0` was committed");
    expect(|record| drop(record.business.remove(0)), "invented: `note-0` is published");
    expect(|record| drop(record.consumed.remove(0)), "lost: `book` has 0 records of `note-0`");
    expect(|record| drop(record.effects.remove(0)), "`note-0` is PROCESSED and has 0 effects");
    expect(|record| record.published.retain(|row| row.kind == "event"), "1 of `dl:book:note-14:0` missing");
    expect(|record| record.published.retain(|row| row.event_id != "booked-note-7"), "`note-7` has -1 NOTE_BOOKED");
}

#[test]
fn what_was_doubled_is_named() {
    expect(|record| record.effects.push("note-7".to_owned()), "`note-7` is PROCESSED and has 2 effects");
    expect(|record| record.effects.push("note-14".to_owned()), "`note-14` is FAILED_MAX_RETRY and has 1 effects");
    expect(|record| record.consumed.push(record.consumed[0].clone()), "admitted again: `book` has 2 records");
    expect(|record| record.published.push(record.published.last().unwrap().clone()), "-1 of `dl:book:note-14:0`");
    expect(|record| publish(record, "note-0", "NOTE_TAKEN", None), "`book` took `note-0` for new 2 times");
}

#[test]
fn what_is_stuck_is_named() {
    expect(|record| record.open.push(Open { table: "claim", what: "7".to_owned() }), "stuck: claim still has 7");
    expect(|record| record.consumed[0].status = "PROCESSING".to_owned(), "of `note-0` is PROCESSING");
    expect(|record| record.published[0].status = "PENDING".to_owned(), "not published: `note-0` is PENDING");
}

#[test]
fn a_run_without_an_attempt_is_named() {
    expect(|record| drop(record.attempts.remove(0)), "`book` began `note-0` 1 times, with 0 attempts");
    expect(|record| record.runs.push(record.runs[0].clone()), "`book` began `note-0` 2 times, with 1 attempts");
    expect(|record| record.attempts[0].number = 2, "attempts at record 0 are not numbered");
    expect(|record| record.attempts[0].status = "FAILED".to_owned(), "`note-0` is PROCESSED after");
}

#[test]
fn an_inversion_is_named() {
    expect(|record| record.effects.reverse(), "effect of `note-0` of `key-0` after `note-7`");
    expect(|record| record.runs.reverse(), "`keep` began `note-0` of `key-0` after `note-7`");
    expect(
        |record| {
            record.published[0].place = Some((0, 1));
            record.published[1].place = Some((0, 0));
        },
        "`note-7` of `key-0` is published at 0, before `note-0` at 1",
    );
}

#[test]
fn an_event_that_was_sent_again_may_come_late() {
    let mut record = sound();
    record.effects.reverse();
    record.sent_again.push(i64::try_from(at(&record, "book", "note-0")).unwrap());
    assert_eq!(problems(&record), Vec::<String>::new());
}

#[test]
fn a_place_that_is_missing_or_taken_twice_is_named() {
    expect(|record| record.published[0].place = Some((0, 9)), "offsets of notes/0 have gaps or come twice");
    expect(|record| record.published[0].place = Some((0, 1)), "offsets of notes/0 have gaps or come twice");
}

#[test]
fn an_id_that_changed_between_attempts_is_named() {
    expect(
        |record| publish(record, "another", "NOTE_SCRIBBLED", Some("note-0")),
        "NOTE_SCRIBBLED of `note-0` has several ids",
    );
}

#[test]
fn a_forbidden_transition_is_named() {
    expect(
        |record| {
            record.consumed_transitions.push((0, Some("PROCESSED".to_owned()), "PROCESSING".to_owned()));
            record.consumed_transitions.push((0, Some("PROCESSING".to_owned()), "PROCESSED".to_owned()));
        },
        "was `PROCESSED` and went from `PROCESSED` to `PROCESSING`",
    );
    expect(|record| drop(record.published_transitions.remove(0)), "was `` and went from `PENDING`");
    expect(|record| drop(record.consumed_transitions.pop()), "is `PROCESSED` and was left at `PROCESSING`");
}
