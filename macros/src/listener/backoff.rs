//! `backoff = exponential(…) | fixed(…) | none`.

use std::time::Duration;

use proc_macro2::{Literal, Span, TokenStream};
use quote::quote_spanned;
use syn::{
    Ident,
    parse::{Parse, ParseStream},
};

use crate::{
    args::{Arg, Args, Known, known},
    diagnostics::{Errors, unknown},
    paths::Runtime,
    values,
};

const EXPONENTIAL: &[Known] = known![
    Value "initial" "initial = \"1s\"",
    Value "multiplier" "multiplier = 2",
    Value "max" "max = \"5m\"",
    Value "jitter" "jitter = 0.1",
];

const FIXED: &[Known] = known![
    Value "delay" "delay = \"5s\"",
    Value "jitter" "jitter = 0.1",
];

/// The wait between attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Backoff {
    Exponential { initial: Duration, multiplier: f64, max: Duration, jitter: f64 },
    Fixed { delay: Duration, jitter: f64 },
    None,
}

/// `kind` or `kind(…)`.
struct Call {
    kind: Ident,
    options: TokenStream,
}

impl Parse for Call {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let kind = input.parse()?;
        if !input.peek(syn::token::Paren) {
            return Ok(Self { kind, options: TokenStream::new() });
        }
        let options;
        syn::parenthesized!(options in input);
        Ok(Self { kind, options: options.parse()? })
    }
}

impl Backoff {
    /// Reads the option's value and checks it.
    pub(super) fn read(arg: &Arg, errors: &mut Errors) -> Option<Self> {
        let Call { kind, options } = arg.parse(errors)?;
        match kind.to_string().as_str() {
            "exponential" => Some(exponential(options, errors)),
            "fixed" => fixed(&kind, options, errors),
            "none" => {
                Args::parse(options, &[], errors);
                Some(Self::None)
            }
            other => {
                errors.at(&kind, unknown("backoff", other, &["exponential", "fixed", "none"]));
                None
            }
        }
    }

    /// The runtime's `Backoff`.
    pub(super) fn expand(self, runtime: &Runtime) -> TokenStream {
        let backoff = quote_spanned!(Span::mixed_site()=> #runtime::__private::Backoff);
        match self {
            Self::Exponential { initial, multiplier, max, jitter } => {
                let [multiplier, jitter] = [multiplier, jitter].map(Literal::f64_unsuffixed);
                let [initial, max] = [initial, max].map(super::expand::duration);
                quote_spanned! {Span::mixed_site()=>
                    #backoff::Exponential { initial: #initial, multiplier: #multiplier, max: #max, jitter: #jitter }
                }
            }
            Self::Fixed { delay, jitter } => {
                let (delay, jitter) = (super::expand::duration(delay), Literal::f64_unsuffixed(jitter));
                quote_spanned!(Span::mixed_site()=> #backoff::Fixed { delay: #delay, jitter: #jitter })
            }
            Self::None => quote_spanned!(Span::mixed_site()=> #backoff::None),
        }
    }
}

fn exponential(options: TokenStream, errors: &mut Errors) -> Backoff {
    let mut args = Args::parse(options, EXPONENTIAL, errors);
    let [initial_arg, max_arg] = ["initial", "max"].map(|name| args.take(name));
    let initial = initial_arg.as_ref().and_then(|arg| wait(arg, errors)).unwrap_or(Duration::from_secs(1));
    let multiplier = args.take("multiplier").and_then(|arg| multiplier(&arg, errors)).unwrap_or(2.0);
    let max = max_arg.as_ref().and_then(|arg| wait(arg, errors)).unwrap_or(Duration::from_secs(300));
    if let (Some(arg), true) = (max_arg.or(initial_arg), max < initial) {
        let [initial, max] = [initial, max].map(humantime::format_duration);
        let message = format!("waits begin at {initial} (`initial`) and end at {max} (`max`); make `max` longer");
        errors.at(&arg.value, message);
    }
    let jitter = args.take("jitter").and_then(|arg| jitter(&arg, errors)).unwrap_or(0.1);
    Backoff::Exponential { initial, multiplier, max, jitter }
}

fn fixed(kind: &Ident, options: TokenStream, errors: &mut Errors) -> Option<Backoff> {
    let mut args = Args::parse(options, FIXED, errors);
    let jitter = args.take("jitter").and_then(|arg| jitter(&arg, errors)).unwrap_or(0.0);
    let Some(delay) = args.take("delay") else {
        errors.at(kind, "a fixed backoff needs its `delay`; write it as in `fixed(delay = \"5s\")`");
        return None;
    };
    Some(Backoff::Fixed { delay: wait(&delay, errors)?, jitter })
}

fn wait(arg: &Arg, errors: &mut Errors) -> Option<Duration> {
    let wait = values::duration(arg, errors)?;
    if wait.is_zero() {
        errors.at(&arg.value, format!("`{}` is zero; write `backoff = none` to retry at once", arg.name));
    }
    Some(wait)
}

fn multiplier(arg: &Arg, errors: &mut Errors) -> Option<f64> {
    let multiplier = values::number(arg, errors)?;
    if !(multiplier.is_finite() && multiplier >= 1.0) {
        errors.at(&arg.value, "`multiplier` is less than 1, so that waits would shrink; use 1 or more");
    }
    Some(multiplier)
}

fn jitter(arg: &Arg, errors: &mut Errors) -> Option<f64> {
    let jitter = values::number(arg, errors)?;
    if !(0.0..=1.0).contains(&jitter) {
        errors.at(&arg.value, "`jitter` is the part by which a wait may grow; use 0 to 1");
    }
    Some(jitter)
}
