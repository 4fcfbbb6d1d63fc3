//! What a type says about itself as an event.

use proc_macro2::Ident;
use syn::{
    Attribute, Data, DeriveInput, Field, Fields, Generics, LitStr, Meta, Type, ext::IdentExt, punctuated::Punctuated,
};

use super::serde;
use crate::{
    args::{Args, Known, known},
    diagnostics::Errors,
    paths::Runtime,
    values,
};

const ON_TYPE: &[Known] = known![
    Value "event_type" "event_type = \"BOOKING_CONFIRMED\"",
    Value "topic" "topic = \"booking-confirmed\"",
    Value "version" "version = 1",
    Value "crate" "crate = \"events\"",
];

const ON_FIELD: &[Known] = known![
    Flag "id" "id",
    Flag "key" "key",
    Flag "correlation_id" "correlation_id",
    Flag "redact" "redact",
];

/// An event.
pub(super) struct Event {
    pub(super) runtime: Runtime,
    pub(super) ident: Ident,
    pub(super) generics: Generics,
    pub(super) event_type: LitStr,
    pub(super) topic: LitStr,
    pub(super) version: u32,
    pub(super) fields: Vec<Role>,
    pub(super) container: serde::Container,
}

/// A field with a role.
pub(super) struct Role {
    pub(super) kind: RoleKind,
    /// The role's name, where the attribute gives it.
    pub(super) place: Ident,
    pub(super) field: Ident,
    pub(super) ty: Type,
    pub(super) serde: serde::Field,
}

/// What a field is to the library.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RoleKind {
    Id,
    Key,
    CorrelationId,
    Redact,
}

impl RoleKind {
    const ALL: [(&'static str, Self); 4] =
        [("id", Self::Id), ("key", Self::Key), ("correlation_id", Self::CorrelationId), ("redact", Self::Redact)];
}

impl Event {
    /// Reads the type and the attributes on it and on its fields.
    pub(super) fn read(input: &DeriveInput, errors: &mut Errors) -> Self {
        let mut args = options(&input.attrs, ON_TYPE, errors);
        let name = input.ident.unraw();
        let mut text = |option: &str, default: String, errors: &mut Errors| {
            let given = args.take(option).and_then(|arg| arg.parse(errors));
            given.unwrap_or_else(|| LitStr::new(&default, name.span()))
        };
        let words = words(&name.to_string());
        let event_type = text("event_type", words.join("_").to_uppercase(), errors);
        let topic = text("topic", words.join("-").to_lowercase(), errors);
        let version = args.take("version").and_then(|arg| values::count(&arg, errors));
        Self {
            event_type,
            topic,
            version: version.unwrap_or(1),
            runtime: Runtime::read(&mut args, errors),
            ident: input.ident.clone(),
            generics: input.generics.clone(),
            fields: roles(&input.data, errors),
            container: serde::Container::read(&input.attrs),
        }
    }

    /// The field with this role.
    pub(super) fn field(&self, kind: RoleKind) -> Option<&Role> {
        self.fields.iter().find(|role| role.kind == kind)
    }

    /// Every field with this role.
    pub(super) fn fields(&self, kind: RoleKind) -> impl Iterator<Item = &Role> {
        self.fields.iter().filter(move |role| role.kind == kind)
    }
}

/// Every option in the `#[tracked_event(…)]` attributes among `attributes`.
fn options(attributes: &[Attribute], known: &'static [Known], errors: &mut Errors) -> Args {
    let mut args = Args::new(known);
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("tracked_event")) {
        match &attribute.meta {
            Meta::List(list) => args.extend(list.tokens.clone(), errors),
            Meta::Path(_) | Meta::NameValue(_) => {
                errors.at(&attribute.meta, "expected options in parentheses, as in `#[tracked_event(version = 1)]`");
            }
        }
    }
    args
}

fn roles(data: &Data, errors: &mut Errors) -> Vec<Role> {
    match data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => fields.named.iter().flat_map(|field| roles_of(field, errors)).collect(),
            Fields::Unnamed(fields) => refuse_roles(&fields.unnamed, errors),
            Fields::Unit => Vec::new(),
        },
        Data::Enum(data) => {
            for variant in &data.variants {
                refuse(&variant.attrs, errors);
                variant.fields.iter().for_each(|field| refuse(&field.attrs, errors));
            }
            Vec::new()
        }
        Data::Union(data) => {
            errors.at(data.union_token, "a union cannot be an event; use a struct or an enum");
            Vec::new()
        }
    }
}

fn roles_of(field: &Field, errors: &mut Errors) -> Vec<Role> {
    let mut args = options(&field.attrs, ON_FIELD, errors);
    let mut roles = Vec::new();
    for (name, kind) in RoleKind::ALL {
        if let (Some(arg), Some(ident)) = (args.take(name), &field.ident) {
            let (field_name, ty) = (ident.clone(), field.ty.clone());
            roles.push(Role { kind, place: arg.name, field: field_name, ty, serde: serde::Field::read(&field.attrs) });
        }
    }
    roles
}

fn refuse_roles<P>(fields: &Punctuated<Field, P>, errors: &mut Errors) -> Vec<Role> {
    fields.iter().for_each(|field| refuse(&field.attrs, errors));
    Vec::new()
}

fn refuse(attributes: &[Attribute], errors: &mut Errors) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("tracked_event")) {
        errors.at(attribute, "only a field of a struct with named fields can have a role; name the field");
    }
}

/// `BookingConfirmed` is `Booking` and `Confirmed`; `HTTPCallDone` is `HTTP`, `Call` and `Done`.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| letters.get(before));
        let after = letters.get(at.saturating_add(1));
        let begins = match before {
            None | Some('_') => true,
            Some(before) if letter.is_uppercase() => {
                !before.is_uppercase() || after.is_some_and(|after| after.is_lowercase())
            }
            Some(_) => false,
        };
        match words.last_mut() {
            _ if *letter == '_' => {}
            Some(word) if !begins => word.push(*letter),
            _ => words.push(letter.to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn names_fall_into_words() {
        assert_eq!(words("BookingConfirmed"), ["Booking", "Confirmed"]);
        assert_eq!(words("HTTPCallDone"), ["HTTP", "Call", "Done"]);
        assert_eq!(words("OrderV2Placed"), ["Order", "V2", "Placed"]);
        assert_eq!(words("Seat_Taken"), ["Seat", "Taken"]);
    }
}
