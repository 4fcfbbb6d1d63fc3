//! Roles given twice, in the wrong place, or to a type that cannot have them.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Twice {
    #[tracked_event(id)]
    first: Uuid,
    #[tracked_event(id, key)]
    second: Uuid,
    #[tracked_event(key)]
    third: i64,
}

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Tuple(#[tracked_event(id)] Uuid);

#[derive(Serialize, Deserialize, TrackedEvent)]
enum Variants {
    One {
        #[tracked_event(key)]
        key: i64,
    },
}

#[derive(Serialize, Deserialize)]
struct Address {
    street: String,
}

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Flat {
    #[serde(flatten)]
    #[tracked_event(redact)]
    address: Address,
}

#[derive(Serialize, Deserialize, TrackedEvent)]
#[serde(transparent)]
struct Transparent {
    #[tracked_event(redact)]
    name: String,
}

fn main() {}
