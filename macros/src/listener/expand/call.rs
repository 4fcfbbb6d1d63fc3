//! From a delivery to the function: decode, validate, extract, call.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote_spanned};

use super::{
    super::model::{Parameter, Run},
    Expansion, at,
};

impl Expansion<'_> {
    /// Decodes, validates, extracts, calls.
    pub(super) fn call(&self) -> TokenStream {
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
