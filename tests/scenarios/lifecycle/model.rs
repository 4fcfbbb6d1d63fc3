//! What may happen, and what must come of it.

use proptest::{collection::vec, prelude::*};

/// How one run of the handler ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    Error,
    Timeout,
    Panic,
    Reject,
    Invalid,
    Snooze,
    RetryAfter,
}

/// What the world does to the service.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// An event arrives, for the first time or again.
    Deliver {
        event: usize,
    },
    /// Another content arrives under the event's id.
    Conflict {
        event: usize,
    },
    /// The instance drains and another starts.
    Restart,
    /// The instance is replaced by one of its name, with its work under way.
    Replace,
    /// An operator has everything for review tried again.
    RetryAll,
    /// An operator gives everything for review up.
    DiscardAll,
    Pause,
    Resume,
}

/// A history to live through.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// For each event, how the runs of its handler end, one after the other; afterwards all succeed.
    pub(crate) ends: Vec<Vec<End>>,
    pub(crate) acts: Vec<Act>,
}

/// How many retries the listener has.
pub(crate) const RETRIES: usize = 2;
const EVENTS: usize = 24;

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let end = prop_oneof![
        3 => Just(End::Ok),
        4 => Just(End::Error),
        1 => Just(End::Timeout),
        2 => Just(End::Panic),
        1 => Just(End::Reject),
        1 => Just(End::Invalid),
        2 => Just(End::Snooze),
        1 => Just(End::RetryAfter),
    ];
    let act = prop_oneof![
        30 => (0..EVENTS).prop_map(|event| Act::Deliver { event }),
        3 => (0..EVENTS).prop_map(|event| Act::Conflict { event }),
        2 => Just(Act::Restart),
        2 => Just(Act::Replace),
        2 => Just(Act::RetryAll),
        1 => Just(Act::DiscardAll),
        1 => Just(Act::Pause),
        2 => Just(Act::Resume),
    ];
    (vec(vec(end, 0..5), EVENTS), vec(act, 40..90)).prop_map(|(ends, acts)| Plan { ends, acts })
}

/// The changes of a consumed event's status that the table allows; nothing else may happen.
pub(crate) fn is_allowed(from: Option<&str>, to: &str) -> bool {
    match from {
        None => ["RECEIVED", "PROCESSING", "INVALID", "NO_HANDLER", "DUPLICATE"].contains(&to),
        Some("RECEIVED" | "FAILED") => to == "PROCESSING",
        Some("PROCESSING") => ["PROCESSED", "INVALID", "FAILED", "FAILED_MAX_RETRY", "RECEIVED"].contains(&to),
        Some("FAILED_MAX_RETRY" | "INVALID" | "NO_HANDLER") => ["RECEIVED", "DISCARDED"].contains(&to),
        Some(_) => false,
    }
}
