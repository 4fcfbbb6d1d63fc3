//! When a failed attempt is tried again.

mod backoff;
mod policy;

pub use backoff::Backoff;
pub use policy::{Decision, RetryPolicy};
