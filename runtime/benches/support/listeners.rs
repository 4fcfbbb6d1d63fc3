//! What handles the events: nothing much, counted.

use std::{
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;
use tracked_events::{listen::ListenerDeclaration, prelude::*};

use super::{args::Mode, backlog::ParcelScanned};

/// The group and the service of the library and of the loops.
pub(crate) const SERVICE: &str = "bench";

static LEFT: AtomicUsize = AtomicUsize::new(0);
static NONE_LEFT: Notify = Notify::const_new();

/// Expects this many runs of a handler.
pub(crate) fn expect(events: usize) {
    LEFT.store(events, Ordering::SeqCst);
}

/// Resolves when the last of the runs has begun.
pub(crate) async fn all_handled() {
    while LEFT.load(Ordering::SeqCst) > 0 {
        NONE_LEFT.notified().await;
    }
}

fn handled(event: &ParcelScanned) {
    black_box(event);
    if LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        NONE_LEFT.notify_one();
    }
}

#[tracked_listener(topic = "parcels")]
async fn batched(event: ParcelScanned) -> Result<(), HandlerError> {
    handled(&event);
    Ok(())
}

#[tracked_listener(topic = "parcels", order = "key")]
async fn ordered(event: ParcelScanned) -> Result<(), HandlerError> {
    handled(&event);
    Ok(())
}

#[tracked_listener(topic = "parcels")]
async fn transactional(event: ParcelScanned, _tx: &mut Tx<'_>) -> Result<(), HandlerError> {
    handled(&event);
    Ok(())
}

/// Listens elsewhere, so that the relay works alone.
#[tracked_listener(topic = "nothing-comes-here")]
async fn elsewhere(event: ParcelScanned) -> Result<(), HandlerError> {
    handled(&event);
    Ok(())
}

pub(crate) fn of(mode: Mode) -> Vec<&'static ListenerDeclaration> {
    match mode {
        Mode::Batched => listeners![batched],
        Mode::Ordered => listeners![ordered],
        Mode::Transactional => listeners![transactional],
    }
}

pub(crate) fn idle() -> Vec<&'static ListenerDeclaration> {
    listeners![elsewhere]
}
