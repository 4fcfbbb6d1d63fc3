//! A death at every point at which a process can lose, double or strand something.

use std::{collections::BTreeSet, fs, path::Path};

use support::Engine;

use crate::campaign::{on_every_engine, survives};

/// One test of each, on each database: the points at which processes die, one after the other.
macro_rules! deaths {
    ($($story:ident: $($death:expr),+;)+) => {
        on_every_engine![$($story),+];

        $(
            async fn $story(engine: Engine) {
                survives(engine, &[$($death),+]).await;
            }
        )+

        /// Every point at which a process dies, as often as it does.
        pub(crate) const POINTS: &[&str] = &[$($($death.0),+),+];
    };
}

deaths! {
    after_the_business_write: ("publish.written", 4), ("publish.written", 2);
    after_staging: ("publish.staged", 4), ("publish.staged", 2);
    after_the_publishers_commit: ("publish.committed", 4), ("publish.committed", 2);
    before_a_place_in_the_topic_is_committed: ("relay.placed", 3), ("relay.placed", 1);
    after_a_place_in_the_topic_is_committed: ("relay.unknown", 3), ("relay.unknown", 1);
    when_delivered_and_not_admitted: ("admit.delivered", 3), ("admit.delivered", 1);
    before_an_admission_is_committed: ("admit.written", 3), ("admit.written", 1);
    when_an_admissions_outcome_is_unknown: ("admit.unknown", 3), ("admit.unknown", 1);
    when_admitted_and_the_broker_is_not_told: ("admit.untold", 3), ("admit.untold", 1);
    when_told_and_not_started: ("admit.told", 3), ("admit.told", 1);
    before_the_handler_is_called: ("attempt.prepared", 40), ("attempt.prepared", 3);
    in_the_handler: ("handler.begun", 20), ("handler.begun", 3);
    after_a_handler_published_by_itself: ("handler.published", 20), ("handler.published", 3);
    when_the_effect_is_done_and_not_settled: ("attempt.succeeded", 20), ("attempt.succeeded", 2);
    when_effect_and_settlement_are_done_and_not_committed: ("attempt.settled", 20), ("attempt.settled", 2);
    when_a_handlers_commit_is_done_and_unknown: ("attempt.unknown", 20), ("attempt.unknown", 2);
    before_a_settlement_is_committed: ("settle.written", 6), ("settle.written", 2);
    when_a_settlements_outcome_is_unknown: ("settle.unknown", 6), ("settle.unknown", 2);
    after_a_failure_and_before_its_retry: ("settle.retry_parked", 2), ("settle.retry_parked", 1);
    when_a_retry_is_claimed: ("due.claimed", 3), ("due.claimed", 1);
    when_a_keys_waiting_events_are_claimed: ("due.held_claimed", 2), ("due.held_claimed", 1);
    when_a_dead_letter_is_staged_and_not_committed: ("settle.letter_staged", 2), ("settle.letter_staged", 1);
    after_a_dead_letter_is_committed: ("settle.dead_lettered", 2), ("settle.dead_lettered", 1);
    before_a_redrive_is_committed: ("redrive.written", 1);
    after_a_redrive_is_committed: ("redrive.committed", 1);
    when_registered_and_nothing_rescued: ("handler.begun", 20), ("takeover.registered", 1);
    before_a_rescue_is_committed: ("handler.begun", 20), ("takeover.written", 1);
    when_rescued_and_the_leases_not_freed: ("handler.begun", 20), ("takeover.rescued", 1);
    when_the_leases_of_the_dead_are_freed: ("handler.begun", 20), ("takeover.freed", 1);
    when_a_suspect_is_marked_as_begun: ("handler.begun", 20), ("attempt.suspect_marked", 2);
    when_drained_and_not_gone: ("drain.handlers_ended", 1);
}

#[test]
fn a_process_dies_at_every_point_that_the_library_marks() {
    let mut marked = BTreeSet::new();
    collect("failpoint!(\"", &mut marked);
    let missing: Vec<_> = marked.iter().filter(|point| !POINTS.contains(&point.as_str())).collect();
    assert!(marked.len() > 20, "only {marked:?} are marked");
    assert!(missing.is_empty(), "no process dies at {missing:?}; tell a story of each above");
}

/// The names behind each place of this text in the library's sources.
pub(crate) fn collect(before: &str, names: &mut BTreeSet<String>) {
    collect_below(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../runtime/src")), before, names);
}

fn collect_below(folder: &Path, before: &str, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_below(&path, before, names);
        } else {
            let source = fs::read_to_string(&path).unwrap();
            let named = source.split(before).skip(1).filter_map(|rest| rest.split('"').next());
            names.extend(named.map(str::to_owned));
        }
    }
}
