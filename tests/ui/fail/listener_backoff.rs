//! Backoffs that do not back off.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Placed {}

#[tracked_listener(backoff = exponentail(initial = "1s"))]
async fn unknown(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(backoff = exponential(initail = "1s", multiplier = 0.5, jitter = 2, max = "10ms"))]
async fn out_of_range(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(backoff = fixed)]
async fn without_delay(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(backoff = fixed(delay = "0s", jitter = "some"))]
async fn without_wait(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(backoff = "none")]
async fn text(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(backoff = exponential(initial = "10m"))]
async fn longer_than_the_default(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

fn main() {}
