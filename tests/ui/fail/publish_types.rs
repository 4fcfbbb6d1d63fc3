//! Types that do not fit, each reported once.
use tracked_events::prelude::*;

#[derive(Serialize, Deserialize, TrackedEvent)]
struct Placed {}

type Failed = Box<dyn std::error::Error + Send + Sync>;

struct NotAnError;
struct NotAConnection;

#[tracked_publish]
async fn connection(_connection: &mut NotAConnection) -> Result<Placed, Failed> {
    Ok(Placed {})
}

#[tracked_publish]
fn sync_connection(_connection: &mut NotAConnection) -> Result<Placed, Failed> {
    Ok(Placed {})
}

#[tracked_publish]
async fn value(_publisher: &Publisher) -> Result<u32, Failed> {
    Ok(1)
}

#[tracked_publish]
async fn error(_publisher: &Publisher) -> Result<Placed, NotAnError> {
    Ok(Placed {})
}

type Count = u32;

#[tracked_publish]
async fn alias(_publisher: &Publisher) -> Count {
    1
}

fn main() {}
