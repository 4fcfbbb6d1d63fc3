//! Starts everything, in order, and stops it in the other order.

mod builder;
mod handle;
mod instance;
mod setup;
mod share;
mod wiring;

pub(crate) use self::share::{Change, Share};
pub use self::{
    builder::{Builder, SetupFunction, Tracked},
    handle::{Handle, ListenerStatus, RuntimeStatus},
    setup::Setup,
};
