//! What happens to a flight, as events of one topic.

use chrono::{DateTime, Utc};
use tracked_events::prelude::*;

/// A flight left its gate. Keyed by tail number: what happens to one aircraft is handled in order.
#[derive(Clone, Debug, Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "FLIGHT_DEPARTED", topic = "flights", version = 1)]
pub(crate) struct FlightDeparted {
    #[tracked_event(key)]
    pub(crate) tail_number: Option<String>,
    pub(crate) row_number: i64,
    pub(crate) carrier: String,
    pub(crate) number: i32,
    pub(crate) origin: String,
    pub(crate) destination: String,
    pub(crate) scheduled_at: DateTime<Utc>,
    /// In minutes; negative when it left early.
    pub(crate) departure_delay: Option<i32>,
}

/// A flight did not leave. Some never had an aircraft assigned, and so have no key.
#[derive(Clone, Debug, Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "FLIGHT_CANCELLED", topic = "flights", version = 1)]
pub(crate) struct FlightCancelled {
    #[tracked_event(key)]
    pub(crate) tail_number: Option<String>,
    pub(crate) row_number: i64,
    pub(crate) carrier: String,
    pub(crate) number: i32,
    pub(crate) origin: String,
    pub(crate) destination: String,
    pub(crate) scheduled_at: DateTime<Utc>,
}

/// What passengers need to hear, whichever of the two happened: the fields that both events have.
#[derive(Clone, Debug, Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "FLIGHT_NOTICE", topic = "flights", version = 1)]
pub(crate) struct FlightNotice {
    pub(crate) row_number: i64,
    pub(crate) carrier: String,
    pub(crate) number: i32,
    pub(crate) scheduled_at: DateTime<Utc>,
}
