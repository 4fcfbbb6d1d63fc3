//! The listener's declaration: what was given, and the runtime's defaults for the rest.

use std::time::Duration;

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{LitStr, ext::IdentExt};

use super::{
    super::{
        model::{Parameter, Run},
        options::{Choice, Given},
    },
    Expansion,
};

impl Expansion<'_> {
    pub(super) fn declaration(&self) -> TokenStream {
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
}

/// A duration as a constant.
pub(in crate::listener) fn duration(duration: Duration) -> TokenStream {
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

fn whole(number: u32) -> TokenStream {
    Literal::u32_unsuffixed(number).into_token_stream()
}

fn optional(text: Option<&LitStr>) -> TokenStream {
    match text {
        Some(text) => quote_spanned!(Span::mixed_site()=> ::core::option::Option::Some(#text)),
        None => quote_spanned!(Span::mixed_site()=> ::core::option::Option::None),
    }
}
