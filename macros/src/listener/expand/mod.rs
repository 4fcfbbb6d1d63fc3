//! The declaration beside the function, and the call from one to the other.

mod call;
mod declaration;

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::{Type, spanned::Spanned};

pub(super) use self::declaration::duration;
use super::{
    model::{Handler, Run},
    options::Options,
};
use crate::{diagnostics::Errors, function::Function, paths::Runtime};

/// The function, its declaration, and the declaration's place in the program's list.
pub(super) fn listener(runtime: &Runtime, function: &Function, options: &Options, handler: &Handler) -> TokenStream {
    let expansion = Expansion { runtime, function, options, handler };
    let (declaration, call) = (expansion.declaration(), expansion.call());
    let companion = companion(function);
    let (conditions, name) = (function.conditions(), &function.sig.ident);
    let conditions: Vec<_> = conditions.collect();
    quote_spanned! {Span::mixed_site()=>
        #function
        #companion
        #(#conditions)*
        #[allow(dead_code, clippy::needless_update)]
        impl #name {
            #[doc(hidden)]
            pub const LISTENER: &'static #runtime::__private::ListenerDeclaration = {
                static __DECLARATION: #runtime::__private::ListenerDeclaration = #declaration;
                &__DECLARATION
            };
            #call
        }
        #(#conditions)*
        #runtime::__private::inventory::submit! { #runtime::__private::Registered(<#name>::LISTENER) }
    }
}

/// The function and its mistakes, with a declaration that keeps `listeners![…]` from reporting a second one.
pub(super) fn stand_in(runtime: &Runtime, function: &Function, errors: &Errors) -> TokenStream {
    if function.sig.receiver().is_some() {
        return quote_spanned!(Span::mixed_site()=> #function #errors);
    }
    let companion = companion(function);
    let (conditions, name) = (function.conditions(), &function.sig.ident);
    quote_spanned! {Span::mixed_site()=>
        #function
        #errors
        #companion
        #(#conditions)*
        #[allow(dead_code)]
        impl #name {
            #[doc(hidden)]
            pub const LISTENER: &'static #runtime::__private::ListenerDeclaration =
                #runtime::__private::STAND_IN;
        }
    }
}

/// A type of the function's name, which `listeners![…]` finds beside the function.
fn companion(function: &Function) -> TokenStream {
    let (conditions, vis, name) = (function.conditions(), &function.vis, &function.sig.ident);
    quote_spanned! {Span::mixed_site()=>
        #(#conditions)*
        #[doc(hidden)]
        #[allow(non_camel_case_types, dead_code)]
        #vis struct #name {}
    }
}

struct Expansion<'m> {
    runtime: &'m Runtime,
    function: &'m Function,
    options: &'m Options,
    handler: &'m Handler,
}

impl Expansion<'_> {
    /// What the library knows of the event's type. Its type is where one that is not an event is reported.
    fn payload(&self) -> TokenStream {
        let (runtime, ty) = (self.runtime, &self.handler.event);
        quote_spanned!(at(ty)=> #runtime::__private::payload::<#ty>())
    }

    fn parameter(&self, ty: &Type) -> TokenStream {
        let runtime = self.runtime;
        quote_spanned!(at(ty)=> #runtime::__private::parameter::<#ty>())
    }

    fn connection(&self, ty: &Type) -> TokenStream {
        let runtime = self.runtime;
        match self.handler.run {
            Run::Async => quote_spanned!(at(ty)=> #runtime::__private::connection::<#ty>()),
            Run::Blocking => quote_spanned!(at(ty)=> #runtime::__private::sync_connection::<#ty>()),
        }
    }
}

fn at<S: Spanned>(place: &S) -> Span {
    place.span().resolved_at(Span::mixed_site())
}
