//! The implementation of `TrackedEvent`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote_spanned;
use syn::{ext::IdentExt, spanned::Spanned};

use super::model::{Event, RoleKind};
use crate::paths::Runtime;

/// The implementation, which also stands in when something is wrong, so that no second error follows.
pub(super) fn implementation(event: &Event) -> TokenStream {
    let Event { runtime, ident, event_type, topic, version, .. } = event;
    let (parameters, arguments, _) = event.generics.split_for_impl();
    let (bounds, redacted, methods) = (bounds(event), redacted(event), methods(event));
    let declaration = declaration(event);
    let has_id = event.field(RoleKind::Id).is_some();
    quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        impl #parameters #runtime::TrackedEvent for #ident #arguments #bounds {
            const EVENT_TYPE: &'static ::core::primitive::str = #event_type;
            const TOPIC: &'static ::core::primitive::str = #topic;
            const VERSION: ::core::primitive::u32 = #version;
            const REDACTED: &'static [&'static ::core::primitive::str] = &[#(#redacted),*];
            const HAS_ID: ::core::primitive::bool = #has_id;
            #methods
        }
        #declaration
    }
}

/// The event type in the program's list, so that commands know what of it nobody may see.
fn declaration(event: &Event) -> Option<TokenStream> {
    let Event { runtime, event_type, .. } = event;
    let redacted = redacted(event);
    event.generics.params.is_empty().then(|| {
        quote_spanned! {Span::mixed_site()=>
            #runtime::__private::inventory::submit! {
                #runtime::__private::DeclaredEvent { event_type: #event_type, redacted: &[#(#redacted),*] }
            }
        }
    })
}

/// A type with parameters is refused; its stand-in holds for those that could be events.
fn bounds(event: &Event) -> TokenStream {
    let runtime = &event.runtime;
    if event.generics.params.is_empty() {
        return TokenStream::new();
    }
    quote_spanned!(Span::mixed_site()=> where Self: #runtime::__private::Payloadable)
}

fn redacted(event: &Event) -> impl Iterator<Item = String> {
    event.fields(RoleKind::Redact).map(|role| event.container.name_of(&role.field.unraw().to_string(), &role.serde))
}

fn methods(event: &Event) -> TokenStream {
    if !event.generics.params.is_empty() {
        return TokenStream::new();
    }
    let methods = [
        (RoleKind::Id, "event_id", ("IdField", "to_id"), text(&event.runtime)),
        (RoleKind::Key, "event_key", ("KeyField", "to_key"), bytes(&event.runtime)),
        (RoleKind::CorrelationId, "correlation_id", ("IdField", "to_id"), text(&event.runtime)),
    ];
    methods.into_iter().filter_map(|(kind, name, call, returns)| method(event, kind, name, call, returns)).collect()
}

fn method(
    event: &Event,
    kind: RoleKind,
    name: &str,
    (field_trait, call): (&str, &str),
    returns: TokenStream,
) -> Option<TokenStream> {
    let (runtime, role) = (&event.runtime, event.field(kind)?);
    let (field, ty) = (&role.field, &role.ty);
    let here = Span::mixed_site();
    let [name, field_trait, call] = [name, field_trait, call].map(|name| Ident::new(name, here));
    // The field's type is where a type that cannot have the role is reported.
    let value = quote_spanned!(ty.span().resolved_at(here)=> <#ty as #runtime::#field_trait>::#call);
    Some(quote_spanned! {here=>
        fn #name(&self) -> ::core::option::Option<#returns> {
            #value(&self.#field)
        }
    })
}

fn text(runtime: &Runtime) -> TokenStream {
    quote_spanned!(Span::mixed_site()=> #runtime::__private::std::string::String)
}

fn bytes(runtime: &Runtime) -> TokenStream {
    quote_spanned!(Span::mixed_site()=> #runtime::__private::std::vec::Vec<::core::primitive::u8>)
}
