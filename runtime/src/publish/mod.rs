//! From an annotated function to the broker: stage, relay, publisher.

mod function;
pub(crate) mod nudge;
mod publisher;
pub(crate) mod relay;
mod scope;
mod service;
mod stage;

pub use function::returns;
pub use publisher::{Publisher, PublisherTransaction};
pub(crate) use publisher::{result_of, run_to_the_end};
pub(crate) use scope::DeliveryScope;
pub(crate) use service::name_service;
pub use service::service_name;
pub use stage::{AsyncStage, Ending, PublishOptions, StageScope, SyncStage};
