//! What holds on Kafka beside what every broker must do, against a cluster in the process that speaks the real protocol.
//!
//! The cluster waits three seconds for a group's first members, so a test takes that long at least; they run side by
//! side.

#![allow(clippy::unwrap_used, clippy::panic)]

mod flow;
mod group;
mod publishing;
mod support;
mod wire;
