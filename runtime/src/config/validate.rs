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
    let checks = [
        zero_timeout("timeout", options.timeout),
        zero_timeout("processing_timeout", options.processing_timeout),
        processing_timeout_problem(options),
        zero_count("concurrency", options.concurrency),
        zero_count("queue", options.queue),
        hold_key_problem(options),
        dead_letter_problem(&options.dead_letter),
    ];
    checks.into_iter().flatten().chain(backoff_problems(&options.backoff)).collect()
}

fn zero_timeout(option: &str, timeout: Duration) -> Option<String> {
    timeout.is_zero().then(|| format!("`{option}` is zero; every attempt would time out"))
}

fn processing_timeout_problem(options: &ListenerOptions) -> Option<String> {
    let ListenerOptions { timeout, processing_timeout, .. } = options;
    (processing_timeout < timeout && !processing_timeout.is_zero()).then(|| {
        let (timeout, processing) = (format_duration(*timeout), format_duration(*processing_timeout));
        format!(
            "a handler may take {timeout} (`timeout`) but the whole delivery only {processing} \
             (`processing_timeout`); make `processing_timeout` longer than `timeout`"
        )
    })
}

fn zero_count(option: &str, number: u32) -> Option<String> {
    (number == 0).then(|| format!("`{option}` is zero; nothing would be handled, use 1 or more"))
}

fn hold_key_problem(options: &ListenerOptions) -> Option<String> {
    (options.on_dead_letter == OnDeadLetter::HoldKey && options.order == Order::None)
        .then(|| "`hold_key` holds what an ordered listener handles; add `order = \"key\"`".to_owned())
}

fn dead_letter_problem(topic: &str) -> Option<String> {
    match topic {
        "{topic}" => Some("`dead_letter` is the event's own topic; add something, as in `{topic}.dlq`".to_owned()),
        _ if topic.trim().is_empty() => Some("`dead_letter` is empty; give it a name".to_owned()),
        _ => None,
    }
}

fn backoff_problems(backoff: &Backoff) -> Vec<String> {
    let checks = match *backoff {
        Backoff::Exponential { initial, multiplier, max, jitter } => [
            zero_wait("initial", initial),
            (multiplier < 1.0)
                .then(|| "`multiplier` is less than 1, so that waits would shrink; use 1 or more".to_owned()),
            (max < initial).then(|| "`max` is shorter than `initial`; make it at least as long".to_owned()),
            jitter_problem(jitter),
        ],
        Backoff::Fixed { delay, jitter } => [zero_wait("delay", delay), jitter_problem(jitter), None, None],
        Backoff::None => [None, None, None, None],
    };
    checks.into_iter().flatten().collect()
}

fn zero_wait(option: &str, wait: Duration) -> Option<String> {
    wait.is_zero().then(|| format!("`{option}` is zero; write `backoff = none` to retry at once"))
}

fn jitter_problem(jitter: f64) -> Option<String> {
    (!(0.0..=1.0).contains(&jitter)).then(|| "`jitter` is the part by which a wait may grow; use 0 to 1".to_owned())
}
