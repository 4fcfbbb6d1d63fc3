//! Which fields of which events nobody may see.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{DeclaredEvent, declared_events};

/// The fields to hide, as the program's event types declare them.
#[derive(Debug, Default)]
pub(crate) struct Redaction {
    by_type: BTreeMap<&'static str, BTreeSet<&'static str>>,
    /// For event types that this program does not know: everything that is hidden anywhere.
    anywhere: BTreeSet<&'static str>,
}

impl Redaction {
    /// What the program declares.
    pub(crate) fn of_program() -> Self {
        Self::of(declared_events())
    }

    fn of<'a>(events: impl IntoIterator<Item = &'a DeclaredEvent>) -> Self {
        let mut redaction = Self::default();
        for DeclaredEvent { event_type, redacted } in events {
            redaction.by_type.entry(event_type).or_default().extend(*redacted);
            redaction.anywhere.extend(*redacted);
        }
        redaction
    }

    /// The fields to hide in an event of this type.
    pub(crate) fn fields(&self, event_type: &str) -> &BTreeSet<&'static str> {
        self.by_type.get(event_type).unwrap_or(&self.anywhere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_nobody_knows_hides_what_any_type_hides() {
        let events = [
            DeclaredEvent { event_type: "A", redacted: &["email"] },
            DeclaredEvent { event_type: "A", redacted: &["phone"] },
            DeclaredEvent { event_type: "B", redacted: &[] },
        ];
        let redaction = Redaction::of(&events);
        assert_eq!(redaction.fields("A"), &BTreeSet::from(["email", "phone"]));
        assert_eq!(redaction.fields("B"), &BTreeSet::new());
        assert_eq!(redaction.fields("C"), &BTreeSet::from(["email", "phone"]));
    }
}
