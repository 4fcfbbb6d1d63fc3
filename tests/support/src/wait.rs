//! Waiting for a condition, never for a time.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Longer than any scenario takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Runs `future`, which must end in time.
pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("still waiting after {limit:?}"),
    }
}

/// Looks again and again until `condition` holds.
pub async fn eventually<F, Fut>(what: &str, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < DEADLINE / 2, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
