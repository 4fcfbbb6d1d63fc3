//! Panics of handlers: caught, with message, place and backtrace.
//!
//! The place of a panic is known only to the panic hook. Ours keeps it for the task that runs a handler, and leaves
//! every other panic to the hook that was there before.

use std::{
    any::Any,
    backtrace::Backtrace,
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::Once,
    task::{Context, Poll},
};

use futures_util::FutureExt;

/// A handler's panic.
#[derive(Debug)]
pub(crate) struct HandlerPanic {
    pub(crate) message: String,
    pub(crate) trace: Option<String>,
}

thread_local! {
    /// `Some` while this thread is inside a handler; the hook leaves the trace here.
    static TRACE: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs a handler's future; a panic is its error.
pub(crate) async fn caught<T>(future: impl Future<Output = T> + Unpin) -> Result<T, HandlerPanic> {
    install_hook();
    AssertUnwindSafe(Watched(future)).catch_unwind().await.map_err(|payload| describe(&*payload))
}

/// Runs a blocking handler; a panic is its error.
pub(crate) fn caught_blocking<T>(work: impl FnOnce() -> T) -> Result<T, HandlerPanic> {
    install_hook();
    let entered = Entered::enter();
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    drop(entered);
    result.map_err(|payload| describe(&*payload))
}

struct Watched<F>(F);

impl<F: Future + Unpin> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = Entered::enter();
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Marks the thread as inside a handler. What the hook left stays for [`describe`] when a panic unwinds through it.
struct Entered;

impl Entered {
    fn enter() -> Self {
        TRACE.with_borrow_mut(|trace| *trace = Some(None));
        Self
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            TRACE.with_borrow_mut(|trace| *trace = None);
        }
    }
}

fn install_hook() {
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let kept = TRACE.with_borrow_mut(|trace| match trace {
                Some(slot) => {
                    let place = info.location().map_or_else(String::new, |place| format!("panicked at {place}\n"));
                    *slot = Some(format!("{place}{}", Backtrace::capture()));
                    true
                }
                None => false,
            });
            if !kept {
                previous(info);
            }
        }));
    });
}

fn describe(payload: &(dyn Any + Send)) -> HandlerPanic {
    let trace = TRACE.with_borrow_mut(Option::take).flatten();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    HandlerPanic { message: text.unwrap_or("the handler panicked with a value that is not text").to_owned(), trace }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_with_message_and_place() {
        let panic =
            caught(Box::pin(async { panic!("no such booking: {}", 7) })).await.map(|never: ()| never).unwrap_err();
        assert_eq!(panic.message, "no such booking: 7");
        assert!(panic.trace.unwrap().contains("panics.rs"));
    }

    #[test]
    fn a_blocking_panic_is_an_error_too() {
        assert_eq!(caught_blocking(|| panic!("late")).map(|never: ()| never).unwrap_err().message, "late");
    }
}
