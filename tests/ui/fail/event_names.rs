//! Names that no broker or record would take, all reported at once.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "", topic = "booking confirmed", version = "1")]
struct Empty {}

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "*", topic = "..")]
struct Star {}

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "tab\there", topic = "a-topic-of-more-than-one-hundred-characters-is-one-that-no-column-of-the-record-has-a-place-for-at-all")]
struct Control {}

fn main() {}
