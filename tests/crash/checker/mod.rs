//! The checker: what a run left behind against what the library promises.
//!
//! It knows the tables and the promises, and uses nothing of the library: what is wrong with both would not be seen.

mod attempts;
mod consuming;
mod damage;
mod order;
mod publishing;
mod record;
mod transitions;

pub(crate) use self::record::Record;

/// The listeners of the service that want an event, by its type.
fn wanting(event_type: &str) -> &'static [&'static str] {
    match event_type {
        "NOTE_TAKEN" => &["book", "keep", "scribble"],
        "NOTE_BOOKED" | "NOTE_SCRIBBLED" => &["file_away"],
        _ => &[],
    }
}

/// The listener whose effects are in its transaction, and the type of what it publishes there.
const TRANSACTIONAL: (&str, &str) = ("book", "NOTE_BOOKED");

/// The listeners that handle a key's events in order.
const ORDERED: &[&str] = &["book", "keep"];

/// Everything that is wrong, each in a sentence.
pub(crate) fn problems(record: &Record) -> Vec<String> {
    let checks =
        [publishing::problems, consuming::problems, attempts::problems, order::problems, transitions::problems];
    checks.iter().flat_map(|check| check(record)).collect()
}
