//! The events of a key come in their order: into their topic, to a listener, and into effect.

use std::collections::{BTreeMap, BTreeSet};

use super::{ORDERED, Record, TRANSACTIONAL};

pub(super) fn problems(record: &Record) -> Vec<String> {
    let mut problems = published(record);
    for listener in ORDERED {
        let mut seen = BTreeSet::new();
        let runs = record.runs.iter().filter(|run| run.listener == *listener).map(|run| run.event_id.as_str());
        let firsts = runs.filter(|event| seen.insert(*event));
        problems.extend(inversions(record, firsts, &format!("`{listener}` began")));
    }
    let redeemed = redeemed(record);
    let effects = record.effects.iter().map(String::as_str).filter(|event| !redeemed.contains(event));
    problems.extend(inversions(record, effects, "effect of"));
    problems
}

/// A key's offsets rise with the ids under which its events were staged.
fn published(record: &Record) -> Vec<String> {
    let mut last: BTreeMap<(&str, &str), (i64, &str)> = BTreeMap::new();
    let mut problems = Vec::new();
    for row in record.published.iter().filter(|row| row.kind == "event") {
        let (Some(key), Some((_, offset))) = (&row.key, row.place) else { continue };
        let before = last.insert((&row.topic, key), (offset, &row.event_id));
        if let Some((earlier, event)) = before.filter(|(earlier, _)| *earlier > offset) {
            problems.push(format!(
                "order: `{}` of `{key}` is published at {offset}, before `{event}` at {earlier}",
                row.event_id
            ));
        }
    }
    problems
}

/// The events that an operator sent again: they come after what followed them.
fn redeemed(record: &Record) -> BTreeSet<&str> {
    let sent_again = record.consumed.iter().filter(|row| row.listener == TRANSACTIONAL.0);
    sent_again.filter(|row| record.sent_again.contains(&row.id)).map(|row| row.event_id.as_str()).collect()
}

/// Where a sequence of events leaves the order of their key.
fn inversions<'a>(record: &'a Record, events: impl Iterator<Item = &'a str>, what: &str) -> Vec<String> {
    let mut places: BTreeMap<&str, (&str, i64)> = BTreeMap::new();
    for row in record.published.iter().filter(|row| row.kind == "event") {
        if let Some(key) = &row.key {
            places.entry(&row.event_id).or_insert((key, row.id));
        }
    }
    let mut last: BTreeMap<&str, (i64, &str)> = BTreeMap::new();
    let mut problems = Vec::new();
    for event in events {
        let Some((key, place)) = places.get(event) else { continue };
        let before = last.insert(key, (*place, event));
        if let Some((_, later)) = before.filter(|(earlier, _)| earlier > place) {
            problems.push(format!("order: {what} `{event}` of `{key}` after `{later}`"));
        }
    }
    problems
}
