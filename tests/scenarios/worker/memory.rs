//! How much memory waiting retries cost, counted by the allocator itself.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tracked_events::{Config, Handle, PublishOptions, listeners, prelude::*};

use crate::{Note, start};

static IN_USE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's allocator does the work; only numbers are added.
#[allow(unsafe_code, reason = "there is no other way to count what a process allocates")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many retries wait at last.
const WAITING: usize = 10_000;
/// How many batches of 500 are handled before it is measured, so that buffers of connections have their full size.
const WARM_UP: usize = 10;
/// How the text of an event begins whose handler fails.
const FAILS: &str = "late";

#[tracked_listener(order = "key", retries = 1, backoff = fixed(delay = "1h"))]
async fn remember(note: Note) -> Result<(), BoxError> {
    if note.text.starts_with(FAILS) { Err("the past is not over".into()) } else { Ok(()) }
}

/// Prints how many bytes ten thousand waiting retries hold, each of an event of 2 KB and with a key of its own, once an
/// event that came after them was handled.
pub(crate) async fn measure(config: Config) -> Result<(), BoxError> {
    let handle = start(config, listeners![remember]).await?;
    for part in 0..WARM_UP {
        publish(&handle, &format!("handled-{part}"), 500, &"fine".repeat(500)).await?;
        until_waiting(&handle, 0).await?;
    }
    let before = IN_USE.load(Ordering::Relaxed);
    for part in 0..WAITING / 500 {
        publish(&handle, &format!("waiting-{part}"), 500, &FAILS.repeat(500)).await?;
        until_waiting(&handle, (part + 1) * 500).await?;
    }
    publish(&handle, "after", 1, "fine").await?;
    until_waiting(&handle, WAITING).await?;
    let status = handle.status();
    println!("running {}", status.listeners.iter().map(|listener| listener.running + listener.waiting).sum::<usize>());
    println!("grown {}", IN_USE.load(Ordering::Relaxed).saturating_sub(before));
    handle.drain().await?;
    Ok(())
}

async fn publish(handle: &Handle, name: &str, count: usize, text: &str) -> Result<(), BoxError> {
    let note = |number| {
        let id = format!("{name}-{number}");
        Note { key: Some(id.clone()), id, text: text.to_owned() }
    };
    let notes: Vec<_> = (0..count).map(note).collect();
    handle.publisher().publish_with(&notes, &PublishOptions::DEFAULT).await?;
    Ok(())
}

/// Waits until nothing else is open than this many retries.
async fn until_waiting(handle: &Handle, count: usize) -> Result<(), BoxError> {
    loop {
        let backlog = handle.store().backlog().await?;
        let due: i64 = backlog.listeners.iter().map(|listener| listener.due).sum();
        let other: i64 = backlog.listeners.iter().map(|open| open.waiting + open.held + open.claimed).sum();
        let unread: i64 = backlog.embedded_lag.iter().map(|group| group.lag).sum();
        let in_hand: usize = handle.status().listeners.iter().map(|listener| listener.running + listener.waiting).sum();
        if usize::try_from(due)? == count && other + unread + backlog.outbox_pending == 0 && in_hand == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
