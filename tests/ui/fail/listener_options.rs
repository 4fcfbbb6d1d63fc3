//! Unknown, doubled and shapeless options; the function and its declaration are there all the same.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Placed {}

#[tracked_listener(retires = 3, colour = "red", queue = 1, queue = 2, timeout, blocking = true, = 3, retries(3))]
async fn mistaken(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(topic = orders, retries = -1, concurrency = "4", validate = 3, start = "earlyest", order = "fifo")]
async fn shapeless(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(crate = "not a path")]
async fn lost(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

fn main() {
    let _ = (mistaken(Placed {}), listeners![mistaken, shapeless, lost]);
}
