//! Wakes the relays of this process when something was staged.
//!
//! A nudge is only ever a hint: what is staged in a transaction that commits later, or in another process, is found by
//! polling, quickly at first and then more slowly.

use std::sync::LazyLock;

use tokio::sync::watch;

static STAGED: LazyLock<watch::Sender<u64>> = LazyLock::new(watch::Sender::default);

/// Something was staged, or will be when its transaction commits.
pub(crate) fn staged() {
    STAGED.send_modify(|count| *count = count.wrapping_add(1));
}

/// Changes whenever something was staged.
pub(crate) fn subscribe() -> watch::Receiver<u64> {
    STAGED.subscribe()
}
