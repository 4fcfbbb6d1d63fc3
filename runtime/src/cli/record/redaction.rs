//! Which fields of which events nobody may see.

use std::collections::{BTreeMap, BTreeSet};

use crate::listen::ListenerDeclaration;

/// The fields to hide, as the program's listeners declare them.
#[derive(Debug, Default)]
pub(crate) struct Redaction {
    by_type: BTreeMap<&'static str, BTreeSet<&'static str>>,
    /// For event types that no listener of this program declares: everything that is hidden anywhere.
    anywhere: BTreeSet<&'static str>,
}

impl Redaction {
    /// What these listeners declare.
    pub(crate) fn of(declarations: &[&'static ListenerDeclaration]) -> Self {
        let mut redaction = Self::default();
        for declaration in declarations {
            redaction.by_type.entry(declaration.event_type).or_default().extend(declaration.redacted);
            redaction.anywhere.extend(declaration.redacted);
        }
        redaction
    }

    /// The fields to hide in an event of this type.
    pub(crate) fn fields(&self, event_type: &str) -> &BTreeSet<&'static str> {
        self.by_type.get(event_type).unwrap_or(&self.anywhere)
    }
}
