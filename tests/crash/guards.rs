//! Without a guard the checker finds something: it would see the guard break.

use support::{DEADLINE, Database, Engine, within};

use crate::campaign::{Campaign, Death, on_every_engine};

/// A test of each, on each database: the guard that is taken away, and stories of which one brings it to light.
macro_rules! guards {
    ($($test:ident: $guard:literal, $stories:expr;)+) => {
        on_every_engine![$($test),+];

        $(
            async fn $test(engine: Engine) {
                is_missed(engine, $guard, $stories).await;
            }
        )+

        const GUARDS: &[&str] = &[$($guard),+];
    };
}

guards! {
    the_idempotency_key: "admit.key", &[&[]];
    a_position_that_moves_with_the_admission: "admit.position", ADMITTING;
    settlement_in_the_handlers_transaction: "attempt.transaction", SETTLING;
    the_hold_of_a_key_whose_first_event_waits: "lanes.hold", UNDISTURBED;
    the_attempt_that_a_takeover_writes: "rescue.attempt", RUNNING;
    ids_that_follow_from_the_event_handled: "publish.id", RUNNING;
    a_dead_letter_in_the_settlements_transaction: "settle.letter", SETTLING;
}

/// Nobody dies: what fails by itself is enough, sooner or later.
const UNDISTURBED: &[&[Death]] = &[&[], &[], &[]];

/// Deaths between what an admission is then made of.
const ADMITTING: &[&[Death]] = &[&[("admit.written", 2)], &[("admit.written", 4)], &[("admit.written", 6)]];

/// Deaths with handlers under way.
const RUNNING: &[&[Death]] = &[
    &[("handler.begun", 20), ("handler.begun", 3)],
    &[("handler.published", 20), ("handler.published", 3)],
    &[("attempt.prepared", 40), ("attempt.prepared", 3)],
    &[("handler.begun", 9), ("handler.begun", 9)],
    &[("handler.begun", 30), ("handler.begun", 2)],
    &[("settle.written", 6), ("settle.written", 2)],
];

/// Deaths around a settlement, one after the other.
const SETTLING: &[&[Death]] = &[
    &[("settle.unknown", 1), ("settle.unknown", 2), ("settle.unknown", 3)],
    &[("settle.written", 1), ("settle.written", 2), ("settle.written", 3)],
    &[("settle.unknown", 4), ("settle.unknown", 2), ("settle.unknown", 1), ("settle.unknown", 1)],
    &[("settle.unknown", 6), ("settle.unknown", 3), ("settle.unknown", 2), ("settle.unknown", 2)],
    &[("settle.written", 6), ("settle.written", 2)],
    &[("settle.unknown", 8), ("settle.unknown", 5)],
    &[("settle.unknown", 10), ("settle.unknown", 7)],
    &[("settle.unknown", 12), ("settle.unknown", 9)],
];

async fn is_missed(engine: Engine, guard: &str, stories: &[&[Death]]) {
    for deaths in stories {
        if within(DEADLINE, is_missed_in(engine, guard, deaths)).await {
            return;
        }
    }
    panic!("nobody noticed that `{guard}` is gone");
}

async fn is_missed_in(engine: Engine, guard: &str, deaths: &[Death]) -> bool {
    let db = Database::create(engine).await;
    let campaign = Campaign::prepare(&db).await.without(guard);
    for &death in deaths {
        // Without the guard, a process may never come by.
        campaign.start(Some(death)).end().await;
    }
    !campaign.problems(&format!("deaths at {deaths:?} without `{guard}`")).await.is_empty()
}

#[test]
fn every_guard_that_the_library_names_is_taken_away() {
    let mut named = std::collections::BTreeSet::new();
    crate::points::collect("guard!(\"", &mut named);
    crate::points::collect("stands(\"", &mut named);
    let missing: Vec<_> = named.iter().filter(|guard| !GUARDS.contains(&guard.as_str())).collect();
    assert!(missing.is_empty(), "nobody shows that {missing:?} are needed; add them above");
    assert_eq!(named.len(), GUARDS.len());
}
