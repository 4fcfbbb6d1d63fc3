//! Durations and counts that would handle nothing.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Placed {}

#[tracked_listener(timeout = "30", processing_timeout = 60, concurrency = 0, queue = 0)]
async fn shapeless(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(timeout = "0s", processing_timeout = "0s")]
async fn zero(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(timeout = "2m")]
async fn longer_than_the_default(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(timeout = "20s", processing_timeout = "10s")]
async fn longer(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(on_dead_letter = "hold_key")]
async fn unordered(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

fn main() {}
