//! Unknown, doubled and shapeless options.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_typ = "A", colour = "red", topic = "a", topic = "b", version)]
#[tracked_event = "a"]
#[tracked_event(version = 1, "text")]
struct Placed {
    #[tracked_event(kay)]
    order_id: i64,
    #[tracked_event(redact = true)]
    email: String,
}

fn main() {}
