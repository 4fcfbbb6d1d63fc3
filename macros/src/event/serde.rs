//! Which name a field has on the wire: what serde's attributes make of it.

use syn::{Attribute, LitStr, meta::ParseNestedMeta};

/// What serde's attributes on the type say.
#[derive(Default)]
pub(super) struct Container {
    rename_all: Option<String>,
    pub(super) transparent: bool,
}

/// What serde's attributes on a field say.
#[derive(Default)]
pub(super) struct Field {
    rename: Option<String>,
    pub(super) flatten: bool,
}

impl Container {
    pub(super) fn read(attributes: &[Attribute]) -> Self {
        let mut container = Self::default();
        each(attributes, |meta| {
            if meta.path.is_ident("rename_all") {
                container.rename_all = serialized(meta)?.or(container.rename_all.take());
                return Ok(());
            }
            container.transparent |= meta.path.is_ident("transparent");
            skip(meta)
        });
        container
    }

    /// The name on the wire of the field that the source calls `ident`.
    pub(super) fn name_of(&self, ident: &str, field: &Field) -> String {
        match (&field.rename, self.rename_all.as_deref()) {
            (Some(name), _) => name.clone(),
            (None, Some(rule)) => renamed(ident, rule),
            (None, None) => ident.to_owned(),
        }
    }
}

impl Field {
    pub(super) fn read(attributes: &[Attribute]) -> Self {
        let mut field = Self::default();
        each(attributes, |meta| {
            if meta.path.is_ident("rename") {
                field.rename = serialized(meta)?.or(field.rename.take());
                return Ok(());
            }
            field.flatten |= meta.path.is_ident("flatten");
            skip(meta)
        });
        field
    }
}

/// Reads every `#[serde(…)]`. What serde itself would refuse is left for serde to report.
fn each(attributes: &[Attribute], mut read: impl FnMut(&ParseNestedMeta<'_>) -> syn::Result<()>) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let _ = attribute.parse_nested_meta(|meta| read(&meta));
    }
}

/// `= "name"`, or the `serialize = "name"` of `(serialize = "name", deserialize = "other")`.
fn serialized(meta: &ParseNestedMeta<'_>) -> syn::Result<Option<String>> {
    if meta.input.peek(syn::Token![=]) {
        return Ok(Some(meta.value()?.parse::<LitStr>()?.value()));
    }
    let mut name = None;
    meta.parse_nested_meta(|inner| {
        let value = inner.value()?.parse::<LitStr>()?.value();
        if inner.path.is_ident("serialize") {
            name = Some(value);
        }
        Ok(())
    })?;
    Ok(name)
}

fn skip(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<syn::Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        meta.input.parse::<proc_macro2::Group>()?;
    }
    Ok(())
}

/// What serde's `rename_all` makes of a field's name.
fn renamed(ident: &str, rule: &str) -> String {
    let pascal = || ident.split('_').map(capitalized).collect::<String>();
    match rule {
        "UPPERCASE" | "SCREAMING_SNAKE_CASE" => ident.to_uppercase(),
        "PascalCase" => pascal(),
        "camelCase" => {
            let pascal = pascal();
            let mut letters = pascal.chars();
            letters.next().into_iter().map(|first| first.to_ascii_lowercase()).chain(letters).collect()
        }
        "kebab-case" => ident.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => ident.to_uppercase().replace('_', "-"),
        _ => ident.to_owned(),
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().map(|first| first.to_ascii_uppercase()).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use syn::{DeriveInput, parse_quote};

    use super::*;

    fn wire_names(input: &DeriveInput) -> Vec<String> {
        let container = Container::read(&input.attrs);
        let syn::Data::Struct(data) = &input.data else { return Vec::new() };
        let name = |field: &syn::Field| {
            let ident = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
            container.name_of(&ident, &Field::read(&field.attrs))
        };
        data.fields.iter().map(name).collect()
    }

    #[test]
    fn a_rename_beats_the_rule_of_the_type() {
        let input = parse_quote! {
            #[serde(deny_unknown_fields, rename_all = "camelCase")]
            struct S {
                #[serde(default = "none", rename(deserialize = "x", serialize = "mail"))] guest_email: String,
                guest_name: String,
            }
        };
        assert_eq!(wire_names(&input), ["mail", "guestName"]);
    }

    #[test]
    fn every_rule_of_serde_is_followed() {
        let name = |rule: &str| renamed("guest_email", rule);
        assert_eq!(name("lowercase"), "guest_email");
        assert_eq!(name("UPPERCASE"), "GUEST_EMAIL");
        assert_eq!(name("PascalCase"), "GuestEmail");
        assert_eq!(name("camelCase"), "guestEmail");
        assert_eq!(name("snake_case"), "guest_email");
        assert_eq!(name("SCREAMING_SNAKE_CASE"), "GUEST_EMAIL");
        assert_eq!(name("kebab-case"), "guest-email");
        assert_eq!(name("SCREAMING-KEBAB-CASE"), "GUEST-EMAIL");
    }
}
