//! Parameters that a delivery cannot provide.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Placed {}

#[tracked_listener]
async fn borrowed(_event: &Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
async fn context_first(_context: &EventContext, _event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
async fn by_reference(_event: Placed, _name: &str, _context: &mut EventContext) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
async fn two_connections(_event: Placed, _one: &mut Tx<'_>, _two: &mut Tx<'_>) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
async fn opaque(_event: Placed, _more: impl FromDelivery) -> Result<(), HandlerError> {
    Ok(())
}

fn main() {}
