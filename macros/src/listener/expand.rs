//! The declaration beside the function, and the call from one to the other.

use std::time::Duration;

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::{LitStr, Type, ext::IdentExt, spanned::Spanned};

use super::{
    model::{Handler, Parameter, Run},
    options::{Choice, Given, Options},
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

/// A duration as a constant.
pub(super) fn duration(duration: Duration) -> TokenStream {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let here = Span::mixed_site();
    match (u64::try_from(duration.as_millis()), nanos % 1_000_000) {
        _ if nanos == 0 => {
            let seconds = Literal::u64_unsuffixed(seconds);
            quote_spanned!(here=> ::core::time::Duration::from_secs(#seconds))
        }
        (Ok(millis), 0) => {
            let millis = Literal::u64_unsuffixed(millis);
            quote_spanned!(here=> ::core::time::Duration::from_millis(#millis))
        }
        _ => {
            let (seconds, nanos) = (Literal::u64_unsuffixed(seconds), Literal::u32_unsuffixed(nanos));
            quote_spanned!(here=> ::core::time::Duration::new(#seconds, #nanos))
        }
    }
}

struct Expansion<'m> {
    runtime: &'m Runtime,
    function: &'m Function,
    options: &'m Options,
    handler: &'m Handler,
}

impl Expansion<'_> {
    fn declaration(&self) -> TokenStream {
        let (runtime, payload) = (self.runtime, self.payload());
        let (name, group, topics) = (self.name(), optional(self.options.group.as_ref()), self.topics());
        let event_type = match &self.options.event_type {
            Some(text) => text.to_token_stream(),
            None => quote_spanned!(Span::mixed_site()=> #payload.event_type),
        };
        let (options, handle, requires) = (self.listener_options(), self.handle(), self.requires());
        quote_spanned! {Span::mixed_site()=>
            #runtime::__private::ListenerDeclaration {
                name: #name,
                topics: #topics,
                group: #group,
                event_type: #event_type,
                options: #options,
                handle: #handle,
                identify: #payload.identify,
                redacted: #payload.redacted,
                requires: #requires,
                location: #runtime::__private::Location {
                    module: ::core::module_path!(),
                    file: ::core::file!(),
                    line: ::core::line!(),
                },
            }
        }
    }

    fn name(&self) -> LitStr {
        let ident = &self.function.sig.ident;
        self.options.name.clone().unwrap_or_else(|| LitStr::new(&ident.unraw().to_string(), ident.span()))
    }

    fn topics(&self) -> TokenStream {
        let (topics, payload) = (&self.options.topics, self.payload());
        if topics.is_empty() {
            quote_spanned!(Span::mixed_site()=> &[#payload.topic])
        } else {
            quote_spanned!(Span::mixed_site()=> &[#(#topics),*])
        }
    }

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

    fn requires(&self) -> TokenStream {
        let runtime = self.runtime;
        let parameters = self.handler.parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Extracted(ty) => Some(self.parameter(ty)),
            Parameter::Context | Parameter::Connection(_) => None,
        });
        quote_spanned! {Span::mixed_site()=>
            || #runtime::__private::requirements([#(#parameters.requirement()),*])
        }
    }

    fn handle(&self) -> TokenStream {
        let (runtime, name, here) = (self.runtime, &self.function.sig.ident, Span::mixed_site());
        let connection = self.handler.connection().map(|ty| self.connection(ty));
        let variant = match (self.handler.run, connection.is_some()) {
            (Run::Async, false) => Ident::new("Async", here),
            (Run::Async, true) => Ident::new("Transactional", here),
            (Run::Blocking, false) => Ident::new("Blocking", here),
            (Run::Blocking, true) => Ident::new("BlockingTransactional", here),
        };
        match connection {
            None => quote_spanned!(here=> #runtime::__private::Handle::#variant(<#name>::__call)),
            Some(connection) => quote_spanned! {here=>
                #runtime::__private::Handle::#variant { backend: #connection.backend, call: <#name>::__call }
            },
        }
    }

    fn listener_options(&self) -> TokenStream {
        let (runtime, given) = (self.runtime, self.given_options());
        let default = quote_spanned!(Span::mixed_site()=> #runtime::__private::ListenerOptions::DEFAULT);
        if given.is_empty() {
            return default;
        }
        quote_spanned! {Span::mixed_site()=>
            #runtime::__private::ListenerOptions { #(#given,)* ..#default }
        }
    }

    fn given_options(&self) -> Vec<TokenStream> {
        let (runtime, options) = (self.runtime, self.options);
        let here = Span::mixed_site();
        let count = |given: &Option<Given<u32>>| given.as_ref().map(|given| whole(given.value));
        let time = |given: &Option<Given<Duration>>| given.as_ref().map(|given| duration(given.value));
        let choice = |name: &str, given: &Option<Given<Choice>>| {
            let name = Ident::new(name, here);
            let variant = Ident::new(given.as_ref()?.value.variant, here);
            Some(quote_spanned!(here=> #runtime::__private::#name::#variant))
        };
        let dead_letter = options
            .dead_letter
            .as_ref()
            .map(|topic| quote_spanned!(here=> #runtime::__private::std::borrow::Cow::Borrowed(#topic)));
        let given = [
            ("retries", options.retries.map(whole)),
            ("timeout", time(&options.timeout)),
            ("processing_timeout", time(&options.processing_timeout)),
            ("backoff", options.backoff.map(|backoff| backoff.expand(runtime))),
            ("concurrency", count(&options.concurrency)),
            ("queue", count(&options.queue)),
            ("order", choice("Order", &options.order)),
            ("on_dead_letter", choice("OnDeadLetter", &options.on_dead_letter)),
            ("dead_letter", dead_letter),
            ("start", choice("Start", &options.start)),
        ];
        let field = |(name, value): (&str, Option<TokenStream>)| {
            let (name, value) = (Ident::new(name, here), value?);
            Some(quote_spanned!(here=> #name: #value))
        };
        given.into_iter().filter_map(field).collect()
    }

    /// Decodes, validates, extracts, calls.
    fn call(&self) -> TokenStream {
        let (runtime, connection) = (self.runtime, self.handler.connection());
        let here = Span::mixed_site();
        let body = self.body();
        match self.handler.run {
            Run::Async => {
                let tx = connection.map(|_| quote_spanned!(here=> , tx: &'a mut #runtime::Tx<'_>));
                quote_spanned! {here=>
                    fn __call<'a>(
                        context: &'a #runtime::EventContext #tx
                    ) -> #runtime::__private::HandlerFuture<'a> {
                        #runtime::__private::std::boxed::Box::pin(async move { #body })
                    }
                }
            }
            Run::Blocking => {
                let tx = connection.map(|_| quote_spanned!(here=> , tx: &mut #runtime::SyncTx<'_>));
                quote_spanned! {here=>
                    fn __call(
                        context: &#runtime::EventContext #tx
                    ) -> ::core::result::Result<(), #runtime::HandlerError> { #body }
                }
            }
        }
    }

    fn body(&self) -> TokenStream {
        let (runtime, payload, here) = (self.runtime, self.payload(), Span::mixed_site());
        let validate = self
            .options
            .validate
            .as_ref()
            .map(|path| quote_spanned!(at(path)=> #runtime::__private::validated(#path(&event))?;));
        let (names, bindings): (Vec<_>, Vec<_>) =
            self.handler.parameters.iter().enumerate().map(|(at, parameter)| self.binding(at, parameter)).unzip();
        let result = self.result(&names);
        let returns = &self.handler.returns;
        quote_spanned! {here=>
            let event = #payload.decode(context)?;
            #validate
            #(#bindings)*
            #runtime::__private::outcome::<#returns>(#result)
        }
    }

    fn binding(&self, index: usize, parameter: &Parameter) -> (Ident, TokenStream) {
        let here = Span::mixed_site();
        let name = format_ident!("parameter_{index}", span = here);
        let value = match parameter {
            Parameter::Context => quote_spanned!(here=> context),
            Parameter::Extracted(ty) => {
                let parameter = self.parameter(ty);
                quote_spanned!(here=> #parameter.extract(context)?)
            }
            Parameter::Connection(ty) => {
                let connection = self.connection(ty);
                quote_spanned!(here=> #connection.take(tx)?)
            }
        };
        let binding = quote_spanned!(here=> let #name = #value;);
        (name, binding)
    }

    /// The call itself. Every token stands at the function's name, so that a future that is not `Send` is reported
    /// there, and once.
    fn result(&self, parameters: &[Ident]) -> TokenStream {
        let name = &self.function.sig.ident;
        let runtime = self.runtime.at(at(name));
        let call = quote_spanned!(at(name)=> #name(event #(, #parameters)*));
        match self.handler.run {
            Run::Blocking => call,
            Run::Async => quote_spanned! {at(name)=> {
                let handler = #call;
                #runtime::__private::handler_must_be_send(handler).await
            }},
        }
    }
}

fn at<S: Spanned>(place: &S) -> Span {
    place.span().resolved_at(Span::mixed_site())
}

fn whole(number: u32) -> TokenStream {
    Literal::u32_unsuffixed(number).into_token_stream()
}

fn optional(text: Option<&LitStr>) -> TokenStream {
    match text {
        Some(text) => quote_spanned!(Span::mixed_site()=> ::core::option::Option::Some(#text)),
        None => quote_spanned!(Span::mixed_site()=> ::core::option::Option::None),
    }
}
