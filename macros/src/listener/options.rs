//! The options of a listener, as given: what is not given is left to the runtime's defaults.

use std::time::Duration;

use proc_macro2::Ident;
use syn::{ExprArray, LitStr, Path};

use super::backoff::Backoff;
use crate::{
    args::{Arg, Args, Known, known},
    diagnostics::{Errors, unknown},
    values,
};

/// Every option of `#[tracked_listener]`.
pub(super) const KNOWN: &[Known] = known![
    Value "topic" "topic = \"booking-confirmed\"",
    Value "topics" "topics = [\"booking-confirmed\", \"booking-changed\"]",
    Value "name" "name = \"send_confirmation\"",
    Value "group" "group = \"mail\"",
    Value "event_type" "event_type = \"BOOKING_CONFIRMED\"",
    Value "retries" "retries = 3",
    Value "timeout" "timeout = \"30s\"",
    Value "processing_timeout" "processing_timeout = \"60s\"",
    Value "backoff" "backoff = exponential(initial = \"1s\", multiplier = 2, max = \"5m\", jitter = 0.1)",
    Value "concurrency" "concurrency = 10",
    Value "queue" "queue = 100",
    Value "order" "order = \"key\"",
    Value "on_dead_letter" "on_dead_letter = \"continue\"",
    Value "dead_letter" "dead_letter = \"{topic}.dlq\"",
    Value "start" "start = \"earliest\"",
    Value "validate" "validate = check_booking",
    Flag "blocking" "blocking",
    Value "crate" "crate = \"events\"",
];

/// The options as given.
pub(super) struct Options {
    pub(super) topics: Vec<LitStr>,
    pub(super) name: Option<LitStr>,
    pub(super) group: Option<LitStr>,
    pub(super) event_type: Option<LitStr>,
    pub(super) retries: Option<u32>,
    pub(super) timeout: Option<Given<Duration>>,
    pub(super) processing_timeout: Option<Given<Duration>>,
    pub(super) backoff: Option<Backoff>,
    pub(super) concurrency: Option<Given<u32>>,
    pub(super) queue: Option<Given<u32>>,
    pub(super) order: Option<Given<Choice>>,
    pub(super) on_dead_letter: Option<Given<Choice>>,
    pub(super) dead_letter: Option<LitStr>,
    pub(super) start: Option<Given<Choice>>,
    pub(super) validate: Option<Path>,
    pub(super) blocking: Option<Ident>,
}

/// A value, and where it was given.
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) arg: Arg,
}

/// One of an option's few values: as written, and as the runtime's variant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) text: &'static str,
    pub(super) variant: &'static str,
}

const ORDER: [Choice; 2] = [Choice::new("key", "Key"), Choice::new("none", "None")];
const ON_DEAD_LETTER: [Choice; 2] = [Choice::new("continue", "Continue"), Choice::new("hold_key", "HoldKey")];
const START: [Choice; 2] = [Choice::new("earliest", "Earliest"), Choice::new("latest", "Latest")];

impl Choice {
    const fn new(text: &'static str, variant: &'static str) -> Self {
        Self { text, variant }
    }
}

impl Options {
    /// Reads every option.
    pub(super) fn read(args: &mut Args, errors: &mut Errors) -> Self {
        Self {
            topics: topics(args, errors),
            name: args.take("name").and_then(|arg| arg.parse(errors)),
            group: args.take("group").and_then(|arg| arg.parse(errors)),
            event_type: args.take("event_type").and_then(|arg| arg.parse(errors)),
            retries: args.take("retries").and_then(|arg| values::count(&arg, errors)),
            timeout: given(args.take("timeout"), values::duration, errors),
            processing_timeout: given(args.take("processing_timeout"), values::duration, errors),
            backoff: args.take("backoff").and_then(|arg| Backoff::read(&arg, errors)),
            concurrency: given(args.take("concurrency"), values::count, errors),
            queue: given(args.take("queue"), values::count, errors),
            order: given(args.take("order"), |arg, errors| choice(arg, &ORDER, errors), errors),
            on_dead_letter: given(
                args.take("on_dead_letter"),
                |arg, errors| choice(arg, &ON_DEAD_LETTER, errors),
                errors,
            ),
            dead_letter: args.take("dead_letter").and_then(|arg| arg.parse(errors)),
            start: given(args.take("start"), |arg, errors| choice(arg, &START, errors), errors),
            validate: args.take("validate").and_then(|arg| arg.parse(errors)),
            blocking: args.take("blocking").map(|arg| arg.name),
        }
    }
}

fn given<T>(
    arg: Option<Arg>,
    read: impl FnOnce(&Arg, &mut Errors) -> Option<T>,
    errors: &mut Errors,
) -> Option<Given<T>> {
    let arg = arg?;
    read(&arg, errors).map(|value| Given { value, arg })
}

fn choice(arg: &Arg, choices: &[Choice], errors: &mut Errors) -> Option<Choice> {
    let text: LitStr = arg.parse(errors)?;
    let found = choices.iter().find(|choice| choice.text == text.value()).copied();
    if found.is_none() {
        let known: Vec<_> = choices.iter().map(|choice| choice.text).collect();
        errors.at(&text, unknown(&format!("`{}`", arg.name), &text.value(), &known));
    }
    found
}

fn topics(args: &mut Args, errors: &mut Errors) -> Vec<LitStr> {
    let one = args.take("topic");
    let many = args.take("topics");
    if let (Some(_), Some(many)) = (&one, &many) {
        errors.at(&many.name, "`topic` and `topics` are both given; put every topic into `topics`");
    }
    let mut topics = many.map(|arg| list(&arg, errors)).unwrap_or_default();
    topics.extend(one.and_then(|arg| arg.parse(errors)));
    topics
}

fn list(arg: &Arg, errors: &mut Errors) -> Vec<LitStr> {
    let Some(array) = arg.parse::<ExprArray>(errors) else { return Vec::new() };
    if array.elems.is_empty() {
        errors.at(&arg.value, "`topics` is empty; name a topic, or leave the option out for the event's own");
    }
    let mut topics: Vec<LitStr> = Vec::new();
    for element in &array.elems {
        match syn::parse2::<LitStr>(quote::quote!(#element)) {
            Ok(topic) if topics.iter().any(|other| other.value() == topic.value()) => {
                errors.at(&topic, format!("topic `{}` is given twice; remove one", topic.value()));
            }
            Ok(topic) => topics.push(topic),
            Err(_) => errors.at(element, "a topic is a string; write it as in `topics = [\"booking-confirmed\"]`"),
        }
    }
    topics
}
