//! A future that cannot move between threads, reported once, at the function's name.
use std::rc::Rc;

use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Placed {}

async fn pause() {}

#[tracked_listener]
async fn keeps_an_rc(_event: Placed) -> Result<(), HandlerError> {
    let count = Rc::new(1);
    pause().await;
    drop(count);
    Ok(())
}

fn main() {}
