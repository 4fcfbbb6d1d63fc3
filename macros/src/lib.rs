//! The procedural macros of [tracked-events](https://docs.rs/tracked-events); use them through that crate.
//!
//! Each macro goes the same way: its attribute becomes a model, `validate` checks every rule and collects all
//! mistakes, and `expand`, which cannot fail, writes a thin layer of calls into the runtime.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod args;
mod consumer_main;
mod diagnostics;
mod event;
mod function;
mod listener;

mod paths;
mod publish;
#[cfg(test)]
mod snapshot;
mod values;

use proc_macro::TokenStream;

#[doc = include_str!("docs/tracked_event.md")]
#[proc_macro_derive(TrackedEvent, attributes(tracked_event))]
pub fn tracked_event(item: TokenStream) -> TokenStream {
    event::derive(item.into()).into()
}

#[doc = include_str!("docs/tracked_listener.md")]
#[proc_macro_attribute]
pub fn tracked_listener(options: TokenStream, item: TokenStream) -> TokenStream {
    listener::attribute(options.into(), item.into()).into()
}

#[doc = include_str!("docs/tracked_publish.md")]
#[proc_macro_attribute]
pub fn tracked_publish(options: TokenStream, item: TokenStream) -> TokenStream {
    publish::attribute(options.into(), item.into()).into()
}

#[doc = include_str!("docs/consumer_main.md")]
#[proc_macro]
pub fn consumer_main(options: TokenStream) -> TokenStream {
    consumer_main::function(options.into()).into()
}
