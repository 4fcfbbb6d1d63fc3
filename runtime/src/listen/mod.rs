//! The life of a delivery, one file a step: registry, consumer, admit, lanes, attempt, settle.

mod context;
mod listener;
mod listeners;
mod registry;

pub use context::{EventContext, FromDelivery, State, States};
pub use listener::Listener;
pub use registry::{
    Handle, HandlerFuture, ListenerDeclaration, ListenerOptions, Location, OnDeadLetter, Order, Registered,
    Requirement, Start, registered,
};
