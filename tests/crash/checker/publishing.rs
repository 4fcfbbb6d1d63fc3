//! What was committed was published, in its place, under one id.

use std::collections::{BTreeMap, BTreeSet};

use super::{Record, TRANSACTIONAL};

pub(super) fn problems(record: &Record) -> Vec<String> {
    let checks = [lost, unpublished, gaps_of_offsets, other_ids, follow_ups];
    checks.iter().flat_map(|check| check(record)).collect()
}

/// The business's rows and its events were committed together.
fn lost(record: &Record) -> Vec<String> {
    let business: BTreeSet<&str> = record.business.iter().map(String::as_str).collect();
    let taken = record.published.iter().filter(|row| row.event_type == "NOTE_TAKEN" && row.kind == "event");
    let published: BTreeSet<&str> = taken.map(|row| row.event_id.as_str()).collect();
    let lost = business.difference(&published).map(|id| format!("lost: `{id}` was committed and is not in the record"));
    let invented = published.difference(&business).map(|id| format!("invented: `{id}` is published and not committed"));
    lost.chain(invented).collect()
}

fn unpublished(record: &Record) -> Vec<String> {
    let open = record.published.iter().filter(|row| row.status != "PUBLISHED" || row.place.is_none());
    open.map(|row| format!("not published: `{}` is {} at {:?}", row.event_id, row.status, row.place)).collect()
}

/// The offsets of a partition are 0, 1, 2 and so on.
fn gaps_of_offsets(record: &Record) -> Vec<String> {
    let mut partitions: BTreeMap<(&str, i32), Vec<i64>> = BTreeMap::new();
    for row in &record.published {
        if let Some((partition, offset)) = row.place {
            partitions.entry((&row.topic, partition)).or_default().push(offset);
        }
    }
    let mut problems = Vec::new();
    for ((topic, partition), mut offsets) in partitions {
        offsets.sort_unstable();
        if !offsets.iter().copied().eq((0..).take(offsets.len())) {
            problems.push(format!("offsets of {topic}/{partition} have gaps or come twice: {offsets:?}"));
        }
    }
    problems
}

/// What a handler publishes has the same id at every attempt.
fn other_ids(record: &Record) -> Vec<String> {
    let mut ids: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for row in record.published.iter().filter(|row| row.kind == "event") {
        if let Some(cause) = &row.cause {
            ids.entry((cause, &row.event_type)).or_default().insert(&row.event_id);
        }
    }
    let changed = ids.into_iter().filter(|(_, ids)| ids.len() > 1);
    changed.map(|((cause, event_type), ids)| format!("{event_type} of `{cause}` has several ids: {ids:?}")).collect()
}

/// An effect and what was published beside it stand or fall together.
fn follow_ups(record: &Record) -> Vec<String> {
    let mut published = BTreeMap::<&str, i32>::new();
    for row in record.published.iter().filter(|row| row.event_type == TRANSACTIONAL.1 && row.kind == "event") {
        *published.entry(row.cause.as_deref().unwrap_or_default()).or_default() += 1;
    }
    for event in &record.effects {
        *published.entry(event).or_default() -= 1;
    }
    let odd = published.into_iter().filter(|(_, difference)| *difference != 0);
    odd.map(|(cause, difference)| {
        format!("`{cause}` has {difference:+} {} in comparison with its effects", TRANSACTIONAL.1)
    })
    .collect()
}
