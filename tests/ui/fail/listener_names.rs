//! Topics and names that no broker or record would take.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Placed {}

#[tracked_listener(topic = "a", topics = ["b"])]
async fn both(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(topics = [])]
async fn none(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(topics = ["a", "a", 3, "b c"], name = "", group = "  ", event_type = "a\nb", dead_letter = "{topic}")]
async fn bad(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(dead_letter = "{group}.dlq")]
async fn placeholder(_event: Placed) -> Result<(), HandlerError> {
    Ok(())
}

fn main() {}
