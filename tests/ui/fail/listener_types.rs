//! Types that do not fit, each reported once, at the type.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Placed {}

#[derive(Serialize, Deserialize)]
struct NotAnEvent {}

struct NotAParameter;
struct NotAConnection;
struct NotAnError;

#[tracked_listener]
async fn event(_event: NotAnEvent) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
async fn parameter(_event: Placed, _parameter: NotAParameter) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
async fn connection(_event: Placed, _connection: &mut NotAConnection) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(blocking)]
fn blocking_connection(_event: Placed, _connection: &mut Tx<'_>) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
async fn error(_event: Placed) -> Result<(), NotAnError> {
    Ok(())
}

#[tracked_listener]
async fn value(_event: Placed) -> Result<u32, HandlerError> {
    Ok(1)
}

type Count = u32;

#[tracked_listener]
async fn alias(_event: Placed) -> Count {
    1
}

fn positive(_event: &Placed) -> bool {
    true
}

#[tracked_listener(validate = positive)]
async fn validated(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

fn main() {}
