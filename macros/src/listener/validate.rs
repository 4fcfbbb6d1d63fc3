//! The rules of a listener.

use std::time::Duration;

use syn::{FnArg, Safety};

use super::{
    model::{Handler, Parameter},
    options::{Given, Options},
};
use crate::{diagnostics::Errors, function::Function, values};

/// The runtime's default, against which a `timeout` that comes alone is measured.
const PROCESSING_TIMEOUT: Duration = Duration::from_secs(60);
/// The runtime's default, against which a `processing_timeout` that comes alone is measured.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Checks the options.
pub(super) fn options(options: &Options, errors: &mut Errors) {
    names_are_fit_for_the_record(options, errors);
    timeouts_are_not_zero(options, errors);
    timeout_fits_into_processing_timeout(options, errors);
    counts_are_not_zero(options, errors);
    hold_key_needs_order(options, errors);
}

/// Checks the function.
pub(super) fn function(function: &Function, options: &Options, errors: &mut Errors) {
    is_a_free_function(function, errors);
    is_safe_and_plain(function, errors);
    has_no_type_parameters(function, errors);
    has_an_event(function, errors);
    is_async_or_blocking(function, options, errors);
    returns_a_result(function, errors);
}

/// At most one connection.
pub(super) fn one_connection(handler: &Handler, errors: &mut Errors) {
    let connections = handler.parameters.iter().filter_map(|parameter| match parameter {
        Parameter::Connection(ty) => Some(ty),
        Parameter::Context | Parameter::Extracted(_) => None,
    });
    for extra in connections.skip(1) {
        errors.at(extra, "a listener runs in one transaction, on one connection; remove this one");
    }
}

fn names_are_fit_for_the_record(options: &Options, errors: &mut Errors) {
    let names = [("name", &options.name), ("group", &options.group), ("event_type", &options.event_type)];
    for (what, text) in names {
        if let Some(text) = text {
            values::check_name(what, text, errors);
        }
    }
    for topic in &options.topics {
        values::check_topic("topic", topic, errors);
    }
    if let Some(topic) = &options.dead_letter {
        values::check_dead_letter(topic, errors);
    }
}

fn timeouts_are_not_zero(options: &Options, errors: &mut Errors) {
    for given in [&options.timeout, &options.processing_timeout].into_iter().flatten() {
        if given.value.is_zero() {
            errors.at(&given.arg.value, format!("`{}` is zero; every attempt would time out", given.arg.name));
        }
    }
}

fn timeout_fits_into_processing_timeout(options: &Options, errors: &mut Errors) {
    let value = |given: &Option<Given<Duration>>, default| given.as_ref().map_or(default, |given| given.value);
    let timeout = value(&options.timeout, TIMEOUT);
    let processing = value(&options.processing_timeout, PROCESSING_TIMEOUT);
    let Some(given) = options.processing_timeout.as_ref().or(options.timeout.as_ref()) else { return };
    if processing < timeout && !processing.is_zero() {
        let [timeout, processing] = [timeout, processing].map(humantime::format_duration);
        let message = format!(
            "a handler may take {timeout} (`timeout`) but the whole delivery only {processing} \
             (`processing_timeout`); make `processing_timeout` longer than `timeout`"
        );
        errors.at(&given.arg.value, message);
    }
}

fn counts_are_not_zero(options: &Options, errors: &mut Errors) {
    for given in [&options.concurrency, &options.queue].into_iter().flatten() {
        if given.value == 0 {
            errors
                .at(&given.arg.value, format!("`{}` is zero; nothing would be handled, use 1 or more", given.arg.name));
        }
    }
}

fn hold_key_needs_order(options: &Options, errors: &mut Errors) {
    let ordered = options.order.as_ref().is_some_and(|order| order.value.text == "key");
    if let Some(given) = options.on_dead_letter.as_ref().filter(|given| given.value.text == "hold_key" && !ordered) {
        errors.at(&given.arg.value, "`hold_key` holds what an ordered listener handles; add `order = \"key\"`");
    }
}

fn is_a_free_function(function: &Function, errors: &mut Errors) {
    if let Some(receiver) = function.sig.receiver() {
        errors.at(receiver, "a listener is a free function; take what it needs of `self` as `State<T>`");
    }
}

fn is_safe_and_plain(function: &Function, errors: &mut Errors) {
    let sig = &function.sig;
    if let Safety::Unsafe(token) = &sig.safety {
        errors.at(token, "a listener is called by the library; remove `unsafe`");
    }
    if let Some(token) = &sig.constness {
        errors.at(token, "a listener runs when an event arrives; remove `const`");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "a listener is an ordinary function; remove the ABI");
    }
}

fn has_no_type_parameters(function: &Function, errors: &mut Errors) {
    let generics = &function.sig.generics;
    if generics.type_params().next().is_some() || generics.const_params().next().is_some() {
        errors.at(generics, "a listener is one function for one event; replace the type parameters by types");
    }
}

fn has_an_event(function: &Function, errors: &mut Errors) {
    if !function.sig.inputs.iter().any(|input| matches!(input, FnArg::Typed(_))) {
        errors.at(
            &function.sig.ident,
            "a listener takes its event as the first parameter; write it as in `(event: BookingConfirmed)`",
        );
    }
}

fn is_async_or_blocking(function: &Function, options: &Options, errors: &mut Errors) {
    match (&function.sig.asyncness, &options.blocking) {
        (Some(_), Some(blocking)) => {
            errors.at(blocking, "`blocking` is for functions that are not `async`; remove it, or remove `async`")
        }
        (None, None) => errors.at(
            function.sig.fn_token,
            "a listener is an `async fn`; make it one, or add `blocking` to run it on a thread where it may block",
        ),
        (Some(_), None) | (None, Some(_)) => {}
    }
}

fn returns_a_result(function: &Function, errors: &mut Errors) {
    const CURE: &str = "a listener says whether it succeeded; return a `Result`, such as `Result<(), HandlerError>`";
    match function.output() {
        None => errors.at(&function.sig.ident, CURE),
        Some(ty) if !values::may_be_a_result(ty) => errors.at(ty, CURE),
        Some(_) => {}
    }
}
