//! The life of a delivery, one file a step: registry, consumer, admit, lanes, attempt, settle.

mod admit;
mod attempt;
pub(crate) mod consumer;
mod context;
pub(crate) mod due;
mod group;
mod lanes;
mod listener;
mod listeners;
mod panics;
mod registry;
pub(crate) mod settle;

pub(crate) use self::group::{Group, GroupInboxes, GroupParts};
pub use self::{
    context::{EventContext, FromDelivery, State, States},
    listener::Listener,
    registry::{
        Handle, HandlerFuture, Identify, ListenerDeclaration, ListenerOptions, Location, OnDeadLetter, Order,
        Registered, Requirement, Start, registered,
    },
};
