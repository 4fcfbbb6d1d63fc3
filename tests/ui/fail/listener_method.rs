//! Methods.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Placed {}

struct Service;

impl Service {
    #[tracked_listener]
    async fn handle(&self, _event: Placed) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {}
