//! No status but along the tables of `docs/lifecycle.md`.

use std::collections::HashMap;

use support::Transition;

use super::Record;

const CONSUMED: &[(&str, &[&str])] = &[
    ("", &["RECEIVED", "PROCESSING", "INVALID", "NO_HANDLER", "DUPLICATE"]),
    ("RECEIVED", &["PROCESSING"]),
    ("FAILED", &["PROCESSING"]),
    ("PROCESSING", &["PROCESSED", "FAILED", "FAILED_MAX_RETRY", "INVALID", "RECEIVED"]),
    ("FAILED_MAX_RETRY", &["RECEIVED", "DISCARDED"]),
    ("INVALID", &["RECEIVED", "DISCARDED"]),
    ("NO_HANDLER", &["RECEIVED", "DISCARDED"]),
];

const PUBLISHED: &[(&str, &[&str])] = &[
    ("", &["PENDING"]),
    ("PENDING", &["PUBLISHING", "PUBLISHED"]),
    ("PUBLISHING", &["PUBLISHED", "FAILED", "FAILED_MAX_RETRY", "PENDING"]),
    ("FAILED", &["PUBLISHING"]),
    ("FAILED_MAX_RETRY", &["PENDING", "DISCARDED"]),
];

pub(super) fn problems(record: &Record) -> Vec<String> {
    let consumed = record.consumed.iter().map(|row| (row.id, row.status.as_str()));
    let published = record.published.iter().map(|row| (row.id, row.status.as_str()));
    let mut problems = along(CONSUMED, &record.consumed_transitions, consumed);
    problems.extend(along(PUBLISHED, &record.published_transitions, published));
    problems
}

fn along<'a>(
    table: &[(&str, &[&str])],
    transitions: &'a [Transition],
    ends: impl Iterator<Item = (i64, &'a str)>,
) -> Vec<String> {
    let mut present: HashMap<i64, &str> = HashMap::new();
    let mut problems = Vec::new();
    for (record, from, to) in transitions {
        let from = from.as_deref().unwrap_or_default();
        let allowed = table.iter().any(|(status, next)| *status == from && next.contains(&to.as_str()));
        let was = present.insert(*record, to).unwrap_or_default();
        if !allowed || was != from {
            problems.push(format!("transition: record {record} was `{was}` and went from `{from}` to `{to}`"));
        }
    }
    for (record, status) in ends {
        let left = present.remove(&record).unwrap_or_default();
        if left != status {
            problems.push(format!("transition: record {record} is `{status}` and was left at `{left}`"));
        }
    }
    let gone = present.into_keys().map(|record| format!("lost: record {record} is not there any more"));
    problems.extend(gone);
    problems
}
