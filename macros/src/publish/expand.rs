//! Staging around a function's body.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{
    Type, TypeInfer,
    visit_mut::{self, VisitMut},
};

use super::model::{Options, Stage, StageKind};
use crate::{function::Function, paths::Runtime};

/// The function, with the same signature.
pub(super) fn publisher(
    runtime: &Runtime,
    function: &Function,
    options: &Options,
    stage: &Stage,
    returns: &Type,
) -> TokenStream {
    let expansion = Expansion { runtime, function, stage, returns: &without_opaque(returns) };
    let options = publish_options(runtime, options);
    let body = match (stage.kind, function.sig.asyncness.is_some()) {
        (StageKind::Connection, true) => expansion.on_connection(&options),
        (StageKind::Connection, false) => expansion.on_sync_connection(&options),
        (StageKind::Publisher, _) => expansion.on_publisher(&options),
    };
    let Function { attrs, vis, sig, .. } = function;
    quote_spanned!(Span::mixed_site()=> #(#attrs)* #vis #sig { #body })
}

struct Expansion<'m> {
    runtime: &'m Runtime,
    function: &'m Function,
    stage: &'m Stage,
    returns: &'m Type,
}

impl Expansion<'_> {
    fn on_connection(&self, options: &TokenStream) -> TokenStream {
        let (runtime, tx, stage) = (self.runtime, &self.stage.name, self.stage("stage"));
        let (body, returned, service) = (self.async_body(), self.returns(), self.service());
        quote_spanned! {Span::mixed_site()=>
            let begun = match #runtime::__private::begin(#stage(&mut *#tx)).await {
                ::core::result::Result::Ok(scope) => {
                    let result = {
                        #[allow(unused_variables)]
                        let #tx = &mut *#tx;
                        #body.await
                    };
                    ::core::result::Result::Ok((scope, result))
                }
                ::core::result::Result::Err(error) => ::core::result::Result::Err(error),
            };
            #returned.finish(#stage(&mut *#tx), begun, #options, #service).await
        }
    }

    fn on_sync_connection(&self, options: &TokenStream) -> TokenStream {
        let (runtime, tx, stage) = (self.runtime, &self.stage.name, self.stage("sync_stage"));
        let (body, returns) = (&self.function.body, self.returns);
        let (returned, service) = (self.returns(), self.service());
        quote_spanned! {Span::mixed_site()=>
            let begun = match #runtime::__private::begin_blocking(#stage(&mut *#tx)) {
                ::core::result::Result::Ok(scope) => {
                    let result = {
                        #[allow(unused_variables)]
                        let #tx = &mut *#tx;
                        (move || -> #returns #body)()
                    };
                    ::core::result::Result::Ok((scope, result))
                }
                ::core::result::Result::Err(error) => ::core::result::Result::Err(error),
            };
            #returned.finish_blocking(#stage(&mut *#tx), begun, #options, #service)
        }
    }

    fn on_publisher(&self, options: &TokenStream) -> TokenStream {
        let (publisher, body, returned) = (&self.stage.name, self.async_body(), self.returns());
        quote_spanned! {Span::mixed_site()=>
            let result = {
                #[allow(unused_variables)]
                let #publisher = #publisher;
                #body.await
            };
            #returned.finish_alone(#publisher, result, #options).await
        }
    }

    /// The body as a future of the declared type, so that `?`, `return` and coercions work as in the function itself.
    fn async_body(&self) -> TokenStream {
        let (returns, body) = (self.returns, &self.function.body);
        quote_spanned! {Span::mixed_site()=>
            async move {
                if let ::core::option::Option::Some(never) = ::core::option::Option::None::<#returns> {
                    return never;
                }
                let result: #returns = #body;
                #[allow(unreachable_code)]
                result
            }
        }
    }

    /// The connection's type is where one that events cannot be staged on is reported.
    fn stage(&self, function: &str) -> TokenStream {
        let (runtime, ty) = (self.runtime, without_opaque(&self.stage.ty));
        let function = Ident::new(function, Span::mixed_site());
        quote_spanned!(Span::mixed_site()=> #runtime::__private::#function::<#ty>)
    }

    /// The return type is where what cannot be published is reported.
    fn returns(&self) -> TokenStream {
        let (runtime, returns) = (self.runtime, self.returns);
        quote_spanned!(Span::mixed_site()=> #runtime::__private::returns::<#returns>())
    }

    /// The service that the record names: the process's own, or else the package.
    fn service(&self) -> TokenStream {
        let runtime = self.runtime;
        quote_spanned! {Span::mixed_site()=>
            #runtime::__private::service_name(::core::env!("CARGO_PKG_NAME"))
        }
    }
}

fn publish_options(runtime: &Runtime, options: &Options) -> TokenStream {
    let here = Span::mixed_site();
    let default = quote_spanned!(here=> #runtime::PublishOptions::DEFAULT);
    let retries = match options.retries {
        Some(retries) => Literal::u32_unsuffixed(retries).into_token_stream(),
        None => quote_spanned!(here=> #default.retries),
    };
    let topic = match &options.topic {
        Some(topic) => quote_spanned!(here=> ::core::option::Option::Some(#topic)),
        None => quote_spanned!(here=> #default.topic),
    };
    quote_spanned!(here=> &#runtime::PublishOptions { retries: #retries, topic: #topic })
}

/// A type that a binding can have: `impl Trait` is left to inference.
fn without_opaque(returns: &Type) -> Type {
    struct Infer;

    impl VisitMut for Infer {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            if let Type::ImplTrait(opaque) = ty {
                let underscore_token = syn::Token![_](opaque.impl_token.span);
                *ty = Type::Infer(TypeInfer { attrs: Vec::new(), underscore_token });
            }
            visit_mut::visit_type_mut(self, ty);
        }
    }

    let mut ty = returns.clone();
    Infer.visit_type_mut(&mut ty);
    ty
}
