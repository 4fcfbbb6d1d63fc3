//! Types with parameters.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Changed<T> {
    #[tracked_event(key)]
    of: T,
}

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Borrowed<'a> {
    name: &'a str,
}

fn main() {}
