//! Where the statements of an SQLite connection run.
//!
//! A statement takes microseconds, and waking another thread for it, and being woken by it, ten times as long. So on a
//! runtime of several threads it runs where it is awaited, while another thread takes over that thread's tasks. A
//! runtime of one thread would stand still with it, and so does what the statement may wait for: there it gets a
//! thread of its own.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll, ready},
};

use diesel_async::sync_connection_wrapper::SpawnBlocking;
use futures_util::future::BoxFuture;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::{JoinHandle, block_in_place, consume_budget},
};

/// Runs the statements of an SQLite connection without another thread, where the runtime allows it.
///
/// A future that is dropped while its statement runs waits for the statement: nothing is ever half done. Like
/// [`block_in_place`], it cannot be used in a `LocalSet` on a runtime of several threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct InPlace;

type Outcome<R> = Result<R, Box<dyn Error + Send + Sync>>;

impl SpawnBlocking for InPlace {
    fn spawn_blocking<'a, R>(&mut self, task: impl FnOnce() -> R + Send + 'static) -> BoxFuture<'a, Outcome<R>>
    where
        R: Send + 'static,
    {
        match Handle::try_current() {
            Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::CurrentThread => {
                Box::pin(Elsewhere::start(&handle, task))
            }
            Ok(_) => Box::pin(async move {
                let done = block_in_place(task);
                // Statement after statement, a task would never let a timeout be looked at.
                consume_budget().await;
                Ok(done)
            }),
            Err(_) => Box::pin(async move { Ok(task()) }),
        }
    }

    fn get_runtime() -> Self {
        Self
    }
}

/// A statement on a thread of its own.
struct Elsewhere<R> {
    running: JoinHandle<R>,
    ended: mpsc::Receiver<()>,
}

impl<R: Send + 'static> Elsewhere<R> {
    fn start(handle: &Handle, task: impl FnOnce() -> R + Send + 'static) -> Self {
        let (until_ended, ended) = mpsc::channel::<()>();
        let running = handle.spawn_blocking(move || {
            let _until_ended = until_ended;
            task()
        });
        Self { running, ended }
    }
}

impl<R> Future for Elsewhere<R> {
    type Output = Outcome<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<R>> {
        Poll::Ready(ready!(Pin::new(&mut self.running).poll(context)).map_err(Into::into))
    }
}

impl<R> Drop for Elsewhere<R> {
    /// Waits for the statement. Its sender goes when it ends, or when the runtime never came to begin it.
    fn drop(&mut self) {
        self.running.abort();
        let _ = self.ended.recv();
    }
}
