//! Functions that cannot be listeners.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Placed {}

#[tracked_listener]
fn neither_async_nor_blocking(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(blocking)]
async fn both_async_and_blocking(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
async fn without_event() -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
async fn without_result(_event: Placed) {}

#[tracked_listener]
async fn with_another_result(_event: Placed) -> Option<Placed> {
    None
}

#[tracked_listener]
async unsafe extern "C" fn with_qualifiers(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
async fn generic<T: TrackedEvent>(_event: T) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
struct NotAFunction;

fn main() {}
