//! From an annotated function to the broker: stage, relay, publisher.

mod publisher;
mod scope;
mod stage;

pub use publisher::Publisher;
pub(crate) use scope::DeliveryScope;
pub use stage::{
    AsyncStage, Ending, PublishOptions, StageScope, SyncStage, finish, finish_blocking, finish_with_publisher,
};
