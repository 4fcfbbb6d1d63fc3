//! A message, as the hand-written loops read it from the log.

use std::time::Instant;

use super::{backlog::ParcelScanned, rig::Result};

pub(crate) struct Message {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) content_type: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) causation_id: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) headers: Option<String>,
}

impl Message {
    /// The handler: decodes, and looks at what it got. How long it took, in milliseconds.
    pub(crate) fn handle(&self) -> Result<i64> {
        let began = Instant::now();
        let event: ParcelScanned = serde_json::from_slice(self.payload.as_deref().unwrap_or_default())?;
        std::hint::black_box(&event);
        Ok(i64::try_from(began.elapsed().as_millis())?)
    }
}
