//! Fields whose types cannot have their roles.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Measured {
    #[tracked_event(id)]
    id: f64,
    #[tracked_event(key)]
    key: (i64, i64),
    #[tracked_event(correlation_id)]
    correlation: Vec<u8>,
}

fn main() {}
