//! What a service needs, in one line: `use tracked_events::prelude::*;`.

pub use serde::{Deserialize, Serialize};
pub use uuid::Uuid;

pub use crate::{
    BoxError, Command, EventContext, FromDelivery, Handle, HandlerError, Published, Publisher, Service, Setup, State,
    Tracked, TrackedEvent, Tx, consumer_main, listeners, on, tracked_listener, tracked_publish,
};
