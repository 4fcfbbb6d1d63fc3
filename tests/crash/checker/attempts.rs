//! Every run of a handler is on record.

use std::collections::BTreeMap;

use super::Record;

pub(super) fn problems(record: &Record) -> Vec<String> {
    let checks = [numbers, unexplained_runs, ends];
    checks.iter().flat_map(|check| check(record)).collect()
}

/// The attempts at a record are 1, 2, 3 and so on.
fn numbers(record: &Record) -> Vec<String> {
    let by_record = statuses(record);
    let odd = by_record
        .into_iter()
        .filter(|(_, attempts)| !attempts.iter().map(|(number, _)| *number).eq((1..).take(attempts.len())));
    odd.map(|(id, attempts)| format!("attempts at record {id} are not numbered one after the other: {attempts:?}"))
        .collect()
}

/// A handler began no more often than attempts are on record, those that were abandoned included.
fn unexplained_runs(record: &Record) -> Vec<String> {
    let by_record = statuses(record);
    let mut recorded = BTreeMap::<_, usize>::new();
    for row in &record.consumed {
        let attempts = by_record.get(&row.id).map_or(0, Vec::len);
        *recorded.entry((row.listener.as_str(), row.event_id.as_str())).or_default() += attempts;
    }
    let mut begun = BTreeMap::<_, usize>::new();
    for run in &record.runs {
        *begun.entry((run.listener.as_str(), run.event_id.as_str())).or_default() += 1;
    }
    let mut problems = Vec::new();
    for ((listener, event), times) in begun {
        let known = recorded.get(&(listener, event)).copied().unwrap_or(0);
        if times > known {
            problems.push(format!(
                "unexplained run: `{listener}` began `{event}` {times} times, with {known} attempts on record"
            ));
        }
    }
    problems
}

/// What is PROCESSED succeeded once, at last; what was given up did not; what is a duplicate was not tried.
fn ends(record: &Record) -> Vec<String> {
    let by_record = statuses(record);
    let mut problems = Vec::new();
    for row in &record.consumed {
        let attempts = by_record.get(&row.id).map_or(&[][..], Vec::as_slice);
        let successes = attempts.iter().filter(|(_, status)| *status == "SUCCESS").count();
        let last = attempts.last().map(|(_, status)| *status);
        let explained = match row.status.as_str() {
            "PROCESSED" => successes == 1 && last == Some("SUCCESS"),
            "FAILED_MAX_RETRY" => successes == 0 && last.is_some(),
            "DUPLICATE" => attempts.is_empty(),
            _ => true,
        };
        if !explained {
            problems.push(format!("attempts: `{}` is {} after {attempts:?}", row.event_id, row.status));
        }
    }
    problems
}

fn statuses(record: &Record) -> BTreeMap<i64, Vec<(i32, &str)>> {
    let mut by_record: BTreeMap<i64, Vec<(i32, &str)>> = BTreeMap::new();
    for attempt in &record.attempts {
        by_record.entry(attempt.record).or_default().push((attempt.number, &attempt.status));
    }
    by_record
}
