//! Unknown and shapeless options; the function is there all the same.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Placed {}

type Failed = Box<dyn std::error::Error>;

#[tracked_publish(retires = 3, topic = "a b", retries = "many", on = "tx")]
async fn place(tx: &mut Tx<'_>) -> Result<Placed, Failed> {
    let _ = tx;
    Ok(Placed {})
}

#[tracked_publish(on = ty)]
async fn place_elsewhere(tx: &mut Tx<'_>) -> Result<Placed, Failed> {
    let _ = tx;
    Ok(Placed {})
}

#[tracked_publish(on = tx)]
async fn place_nowhere() -> Result<Placed, Failed> {
    Ok(Placed {})
}

fn main() {
    let _ = place_nowhere();
}
