//! What the record of an event that nobody wanted says.

/// Why an event of this type was not handled, and what would have it handled.
pub(super) fn reason(event_type: &str, group: &str) -> String {
    format!(
        "no listener for event type `{event_type}` in group `{group}`; add one, or subscribe with `event_type = \"*\"`"
    )
}
