//! From an annotated function to the broker: stage, relay, publisher.

mod function;
pub(crate) mod nudge;
mod publisher;
pub(crate) mod relay;
mod scope;
mod stage;

pub use function::returns;
pub(crate) use publisher::run_to_the_end;
pub use publisher::{Publisher, PublisherTransaction};
pub(crate) use scope::DeliveryScope;
pub use stage::{AsyncStage, Ending, PublishOptions, StageScope, SyncStage};
