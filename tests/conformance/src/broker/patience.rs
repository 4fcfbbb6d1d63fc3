//! Waiting for a signal, and dropping a call on purpose.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

/// Longer than anything here takes when it works.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a future, which must end in time.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("still waiting after {PATIENCE:?}: {what}"),
    }
}

/// Drops a call after it was polled that often; `None` if it was not done by then.
///
/// Each number of polls is another place in the call at which it is dropped.
pub async fn dropped_after<T>(polls: usize, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let mut left = polls;
    poll_fn(move |context| {
        left = left.saturating_sub(1);
        match call.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
