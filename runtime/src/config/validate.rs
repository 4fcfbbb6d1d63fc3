//! Options that cannot go together, in the words that `#[tracked_listener]` uses at compile time.

use std::time::Duration;

use humantime::format_duration;

use super::{Config, section::nearest};
use crate::{
    error::ConfigError,
    listen::{ListenerDeclaration, ListenerOptions, OnDeadLetter, Order},
    retry::Backoff,
};

impl Config {
    /// Whether every `[listener.NAME]` is of a listener that there is.
    ///
    /// # Errors
    /// Each one that is not, with the nearest that is.
    pub fn check_listeners<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), ConfigError> {
        let names: Vec<_> = names.into_iter().collect();
        let mut problems = ConfigError::default();
        for (name, settings) in self.listeners.iter().filter(|(name, _)| !names.contains(&name.as_str())) {
            let origin = settings.origin.as_deref().map(|origin| format!("{origin}: ")).unwrap_or_default();
            let cure = match nearest(name, names.iter().copied()) {
                Some(meant) => format!("did you mean `listener.{meant}`?"),
                None if names.is_empty() => "this program has no listeners".to_owned(),
                None => {
                    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                    format!("the listeners are {}", names.join(", "))
                }
            };
            problems.push(format!("{origin}no listener `{name}` for the section `listener.{name}`; {cure}"));
        }
        problems.into_result()
    }

    /// How a listener behaves with this configuration.
    ///
    /// # Errors
    /// Every option of it that cannot be, or cannot go with another.
    pub fn listener_options(&self, declaration: &ListenerDeclaration) -> Result<ListenerOptions, ConfigError> {
        let mut options = declaration.options.clone();
        let mut problems = ConfigError::default();
        let settings = self.listeners.get(declaration.name);
        if let Some(settings) = settings {
            settings.apply(&mut options);
        }
        let origin = settings.and_then(|settings| settings.origin.as_deref());
        let origin = origin.map(|origin| format!("{origin}: ")).unwrap_or_default();
        let misplaced = settings.and_then(|settings| settings.backoff?.misplaced(&options.backoff));
        let misplaced = misplaced.map(|option| {
            let kind = kind_of(&options.backoff);
            format!("`{option}` has no meaning for the backoff `{kind}`; set `backoff.kind` too, or leave it out")
        });
        for problem in misplaced.into_iter().chain(option_problems(&options)) {
            problems.push(format!("{origin}listener `{}`: {problem}", declaration.name));
        }
        problems.into_result().map(|()| options)
    }
}

fn kind_of(backoff: &Backoff) -> &'static str {
    match backoff {
        Backoff::Exponential { .. } => "exponential",
        Backoff::Fixed { .. } => "fixed",
        Backoff::None => "none",
    }
}

/// What is wrong with a listener's options.
fn option_problems(options: &ListenerOptions) -> Vec<String> {
    let ListenerOptions { timeout, processing_timeout, order, on_dead_letter, .. } = options;
    let checks = [
        positive("timeout", *timeout),
        positive("processing_timeout", *processing_timeout),
        at_least_one("concurrency", options.concurrency),
        at_least_one("queue", options.queue),
        (processing_timeout < timeout).then(|| shorter("processing_timeout", *processing_timeout, "timeout", *timeout)),
        (*on_dead_letter == OnDeadLetter::HoldKey && *order == Order::None)
            .then(|| "`on_dead_letter = \"hold_key\"` needs `order = \"key\"`".to_owned()),
        dead_letter_problem(&options.dead_letter),
    ];
    checks.into_iter().flatten().chain(backoff_problems(&options.backoff)).collect()
}

fn backoff_problems(backoff: &Backoff) -> Vec<String> {
    let checks = match *backoff {
        Backoff::Exponential { initial, multiplier, max, jitter } => [
            jitter_problem(jitter),
            (multiplier < 1.0).then(|| format!("`multiplier` is `{multiplier}`; it must be at least 1")),
            (max < initial).then(|| shorter("max", max, "initial", initial)),
        ],
        Backoff::Fixed { jitter, .. } => [jitter_problem(jitter), None, None],
        Backoff::None => [None, None, None],
    };
    checks.into_iter().flatten().collect()
}

fn positive(option: &str, duration: Duration) -> Option<String> {
    duration.is_zero().then(|| format!("`{option}` must be longer than zero"))
}

fn at_least_one(option: &str, number: u32) -> Option<String> {
    (number == 0).then(|| format!("`{option}` must be at least 1"))
}

fn jitter_problem(jitter: f64) -> Option<String> {
    (!(0.0..=1.0).contains(&jitter)).then(|| format!("`jitter` is `{jitter}`; it must be from 0 to 1"))
}

fn dead_letter_problem(topic: &str) -> Option<String> {
    match topic.trim() {
        "" => Some("`dead_letter` must name a topic".to_owned()),
        "{topic}" => Some("`dead_letter` must not be the event's own topic".to_owned()),
        _ => None,
    }
}

fn shorter(one: &str, is: Duration, other: &str, than: Duration) -> String {
    let (is, than) = (format_duration(is), format_duration(than));
    format!("`{one}` (`{is}`) is shorter than `{other}` (`{than}`); make it at least `{than}`")
}
