//! Functions whose events have nowhere to go, or too many places.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Placed {}

type Failed = Box<dyn std::error::Error>;

#[tracked_publish]
async fn nowhere(_id: i64) -> Result<Placed, Failed> {
    Ok(Placed {})
}

#[tracked_publish]
async fn ambiguous(_tx: &mut Tx<'_>, _other: &mut Vec<u8>) -> Result<Placed, Failed> {
    Ok(Placed {})
}

#[tracked_publish]
async fn nameless(_: &mut Tx<'_>) -> Result<Placed, Failed> {
    Ok(Placed {})
}

#[tracked_publish]
fn not_awaited(_publisher: &Publisher) -> Result<Placed, Failed> {
    Ok(Placed {})
}

#[tracked_publish]
async fn without_result(_tx: &mut Tx<'_>) {}

#[tracked_publish]
async fn infallible(_tx: &mut Tx<'_>) -> Vec<Placed> {
    Vec::new()
}

#[tracked_publish]
const fn constant(_tx: &mut Tx<'_>) -> Result<Placed, Failed> {
    Ok(Placed {})
}

#[tracked_publish]
struct NotAFunction;

fn main() {}
