//! Testing a service: its listeners on a database of their own, with a clock that the test moves.
//!
//! A [`Harness`] runs the real thing (the record, the embedded broker, retries, dead letters) on a temporary SQLite
//! database. Only time is the test's: a retry that is due in a second runs when the test says that a second has passed.
//!
//! ```
//! use std::time::Duration;
//! use tracked_events::{prelude::*, store::ConsumptionStatus, testing::Harness};
//!
//! #[derive(Serialize, Deserialize, TrackedEvent)]
//! struct OrderPlaced {
//!     #[tracked_event(key)]
//!     order: u64,
//! }
//!
//! #[tracked_listener(retries = 3)]
//! async fn ship(event: OrderPlaced, context: &EventContext) -> Result<(), BoxError> {
//!     if context.attempt() == 1 { Err("the warehouse does not answer".into()) } else { Ok(()) }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), BoxError> {
//! let harness = Harness::start(listeners![ship]).await?;
//! harness.publish(&OrderPlaced { order: 7 }).await?;
//! harness.run_until_idle().await?;
//! harness.assert_consumed("ship", &[ConsumptionStatus::Failed]).await?;
//!
//! harness.advance(Duration::from_secs(2));
//! harness.run_until_idle().await?;
//! harness.assert_consumed("ship", &[ConsumptionStatus::Processed]).await?;
//! # harness.stop().await?;
//! # Ok(())
//! # }
//! ```

mod assertions;
mod harness;

pub use self::harness::{Harness, HarnessBuilder};
