//! The rules of an event.

use super::model::{Event, RoleKind};
use crate::{diagnostics::Errors, values};

/// Checks every rule.
pub(super) fn check(event: &Event, errors: &mut Errors) {
    has_no_parameters(event, errors);
    values::check_name("event_type", &event.event_type, errors);
    event_type_is_one(event, errors);
    values::check_topic("topic", &event.topic, errors);
    each_role_is_given_once(event, errors);
    redacted_fields_have_names(event, errors);
}

fn has_no_parameters(event: &Event, errors: &mut Errors) {
    if event.generics.type_params().next().is_some() || event.generics.const_params().next().is_some() {
        let message = format!(
            "an event has one name and one schema, and `{0}` has parameters; derive on a type without, such as \
             `struct OrderPlaced {{ #[serde(flatten)] body: {0}<Order> }}`",
            event.ident
        );
        errors.at(&event.generics, message);
    } else if !event.generics.params.is_empty() {
        errors.at(
            &event.generics,
            "an event owns its fields; use `String` in place of `&str`, `Vec<T>` in place of `&[T]`",
        );
    }
}

fn event_type_is_one(event: &Event, errors: &mut Errors) {
    if event.event_type.value() == "*" {
        errors.at(&event.event_type, "`*` stands for every event type; give this one a name of its own");
    }
}

fn each_role_is_given_once(event: &Event, errors: &mut Errors) {
    for kind in [RoleKind::Id, RoleKind::Key, RoleKind::CorrelationId] {
        let mut fields = event.fields(kind);
        let Some(first) = fields.next() else { continue };
        for other in fields {
            let message = format!("`{}` is already the field `{}`; remove one", other.place, first.field);
            errors.at(&other.place, message);
        }
    }
}

fn redacted_fields_have_names(event: &Event, errors: &mut Errors) {
    for role in event.fields(RoleKind::Redact) {
        if role.serde.flatten {
            errors.at(&role.place, "a flattened field has no name to redact; remove `#[serde(flatten)]` from it");
        } else if event.container.transparent {
            errors.at(&role.place, "a transparent type has no field names to redact; remove `#[serde(transparent)]`");
        }
    }
}
