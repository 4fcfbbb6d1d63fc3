//! What was published was consumed by everyone who wants it, had its effect once, and came to an end.

use std::collections::BTreeMap;

use super::{Record, TRANSACTIONAL, wanting};

const FINAL: &[&str] = &["PROCESSED", "FAILED_MAX_RETRY", "INVALID", "NO_HANDLER", "DUPLICATE", "DISCARDED"];

pub(super) fn problems(record: &Record) -> Vec<String> {
    let checks = [lost, unfinished, handled_twice, effects, stuck, dead_letters];
    checks.iter().flat_map(|check| check(record)).collect()
}

/// Each place of a topic was consumed once by each listener.
fn lost(record: &Record) -> Vec<String> {
    let mut consumed = BTreeMap::<_, usize>::new();
    for row in &record.consumed {
        *consumed.entry((row.topic.as_str(), row.place, row.listener.as_str())).or_default() += 1;
    }
    let mut problems = Vec::new();
    for row in record.published.iter().filter(|row| row.kind == "event") {
        for listener in wanting(&row.event_type) {
            let count = consumed.remove(&(row.topic.as_str(), row.place, *listener)).unwrap_or(0);
            if count != 1 {
                let what = if count == 0 { "lost" } else { "admitted again" };
                let (id, place) = (&row.event_id, row.place);
                problems.push(format!("{what}: `{listener}` has {count} records of `{id}` at {place:?}"));
            }
        }
    }
    let unknown = consumed.into_keys().map(|(topic, place, listener)| {
        format!("invented: `{listener}` consumed what is not published: {topic} at {place:?}")
    });
    problems.extend(unknown);
    problems
}

fn unfinished(record: &Record) -> Vec<String> {
    let unfinished = record.consumed.iter().filter(|row| !FINAL.contains(&row.status.as_str()));
    unfinished.map(|row| format!("unfinished: record {} of `{}` is {}", row.id, row.event_id, row.status)).collect()
}

/// However often an event is published, one record of each listener is the first, and the others are duplicates.
fn handled_twice(record: &Record) -> Vec<String> {
    let mut firsts = BTreeMap::<_, usize>::new();
    for row in &record.consumed {
        *firsts.entry((row.listener.as_str(), row.event_id.as_str())).or_default() +=
            usize::from(row.status != "DUPLICATE");
    }
    let odd = firsts.into_iter().filter(|(_, count)| *count != 1);
    odd.map(|((listener, event), count)| format!("`{listener}` took `{event}` for new {count} times")).collect()
}

/// A transactional handler's effect is there exactly when its event is PROCESSED.
fn effects(record: &Record) -> Vec<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for event in &record.effects {
        *counts.entry(event).or_default() += 1;
    }
    let mut problems = Vec::new();
    for row in record.consumed.iter().filter(|row| row.listener == TRANSACTIONAL.0 && row.status != "DUPLICATE") {
        let count = counts.remove(row.event_id.as_str()).unwrap_or(0);
        if count != usize::from(row.status == "PROCESSED") {
            problems.push(format!("effects: `{}` is {} and has {count} effects", row.event_id, row.status));
        }
    }
    problems.extend(counts.into_keys().map(|event| format!("effects: `{event}` has one and was not consumed")));
    problems
}

fn stuck(record: &Record) -> Vec<String> {
    record.open.iter().map(|row| format!("stuck: {} still has {}", row.table, row.what)).collect()
}

/// Each time that an event was given up, one dead letter was published.
fn dead_letters(record: &Record) -> Vec<String> {
    let records: BTreeMap<_, _> = record.consumed.iter().map(|row| (row.id, row)).collect();
    let mut given_up = BTreeMap::<i64, usize>::new();
    let mut expected = BTreeMap::<String, i32>::new();
    for (id, ..) in record.consumed_transitions.iter().filter(|(.., to)| to == "FAILED_MAX_RETRY") {
        let Some(row) = records.get(id) else { continue };
        let time = given_up.entry(*id).or_default();
        *expected.entry(format!("dl:{}:{}:{time}", row.listener, row.event_id)).or_default() += 1;
        *time += 1;
    }
    for row in record.published.iter().filter(|row| row.kind == "dead_letter") {
        *expected.entry(row.event_id.clone()).or_default() -= 1;
    }
    let odd = expected.into_iter().filter(|(_, missing)| *missing != 0);
    odd.map(|(letter, missing)| format!("dead letters: {missing} of `{letter}` missing")).collect()
}
