//! A listener as it runs: its declaration with configuration applied.

use super::{Handle, ListenerDeclaration, ListenerOptions};

/// A listener as it runs.
pub struct Listener {
    /// Its stable identity within the group.
    pub name: String,
    /// The consumer group.
    pub group: String,
    /// The topics it listens to.
    pub topics: Vec<String>,
    /// The event type it wants; `*` is every type.
    pub event_type: String,
    /// How it behaves.
    pub options: ListenerOptions,
    pub(crate) declaration: &'static ListenerDeclaration,
}

impl Listener {
    /// How its handler is called.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.declaration.handle
    }

    /// Whether it wants an event of this type on this topic. A message that does not say its type is wanted by who
    /// wants every type; the consumer gives it a type first where only one is possible.
    #[must_use]
    pub fn wants(&self, topic: &str, event_type: Option<&str>) -> bool {
        self.topics.iter().any(|own| own == topic)
            && (self.event_type == "*" || event_type.is_some_and(|event_type| self.event_type == event_type))
    }
}
