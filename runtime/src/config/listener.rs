//! `[listener.NAME]`: what operators change about a listener without a build.

use std::{borrow::Cow, time::Duration};

use ::config::{Map, Value, ValueKind};
use serde::Serialize;

use super::section::{Section, Setting, origin_of};
use crate::{
    error::ConfigError,
    listen::{ListenerOptions, OnDeadLetter, Order, Start},
    retry::Backoff,
};

/// The options of one listener that configuration sets. `None` leaves what its attribute declares.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct ListenerOverride {
    /// How many retries may follow the first run.
    pub retries: Option<u32>,
    /// How long one run of the handler may take.
    pub timeout: Option<Duration>,
    /// How long it may take from the claim of an event until it is settled.
    pub processing_timeout: Option<Duration>,
    /// The wait between attempts.
    pub backoff: Option<BackoffOverride>,
    /// How many events are handled at a time.
    pub concurrency: Option<u32>,
    /// How many events may wait in memory.
    pub queue: Option<u32>,
    /// Whether events of one key are handled in order.
    pub order: Option<Order>,
    /// What a dead letter does to the later events of its key.
    pub on_dead_letter: Option<OnDeadLetter>,
    /// The topic of the dead letters.
    pub dead_letter: Option<String>,
    /// Where a new consumer group begins.
    pub start: Option<Start>,
    /// Where it was written.
    #[serde(skip)]
    pub(super) origin: Option<String>,
}

impl ListenerOverride {
    /// Puts what is set here in the place of what the attribute declares.
    pub fn apply(&self, options: &mut ListenerOptions) {
        set(&mut options.retries, self.retries);
        set(&mut options.timeout, self.timeout);
        set(&mut options.processing_timeout, self.processing_timeout);
        set(&mut options.concurrency, self.concurrency);
        set(&mut options.queue, self.queue);
        set(&mut options.order, self.order);
        set(&mut options.on_dead_letter, self.on_dead_letter);
        set(&mut options.start, self.start);
        set(&mut options.dead_letter, self.dead_letter.clone().map(Cow::Owned));
        if let Some(backoff) = &self.backoff {
            backoff.apply(&mut options.backoff);
        }
    }

    pub(super) fn read(name: &str, value: Value, problems: &mut ConfigError) -> Self {
        let origin = origin_of(&value);
        let ValueKind::Table(table) = value.kind else {
            problems.push(format!("{origin}: `listener.{name}` is not a table; write `[listener.{name}]`"));
            return Self::default();
        };
        let mut read = Self { origin: Some(origin), ..Self::default() };
        let mut section = Section::new(format!("listener.{name}."), table, problems);
        section.take("retries", &mut read.retries);
        section.take("timeout", &mut read.timeout);
        section.take("processing_timeout", &mut read.processing_timeout);
        section.take("concurrency", &mut read.concurrency);
        section.take("queue", &mut read.queue);
        section.take("order", &mut read.order);
        section.take("on_dead_letter", &mut read.on_dead_letter);
        section.take("dead_letter", &mut read.dead_letter);
        section.take("start", &mut read.start);
        read.backoff = BackoffOverride::read(name, &mut section);
        section.finish();
        read
    }
}

fn set<T>(option: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *option = value;
    }
}

/// The kinds of [`Backoff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackoffKind {
    /// [`Backoff::Exponential`].
    Exponential,
    /// [`Backoff::Fixed`].
    Fixed,
    /// [`Backoff::None`].
    None,
}

impl Setting for BackoffKind {
    const EXPECTED: &'static str = "`exponential`, `fixed` or `none`";

    fn read(value: &Value) -> Option<Self> {
        match String::read(value)?.as_str() {
            "exponential" => Some(Self::Exponential),
            "fixed" => Some(Self::Fixed),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

/// Changes to a backoff: another kind, or other numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct BackoffOverride {
    /// Another kind. What else is not set then has its default.
    pub kind: Option<BackoffKind>,
    /// The wait before the first retry, of an exponential backoff.
    pub initial: Option<Duration>,
    /// What each wait is multiplied by for the next, of an exponential backoff.
    pub multiplier: Option<f64>,
    /// The longest wait, of an exponential backoff.
    pub max: Option<Duration>,
    /// The wait, of a fixed backoff.
    pub delay: Option<Duration>,
    /// The part of a wait by which it may be lengthened, 0 to 1.
    pub jitter: Option<f64>,
}

impl BackoffOverride {
    /// `backoff = "none"`, or a table.
    fn read(name: &str, section: &mut Section<'_>) -> Option<Self> {
        let value = section.take_raw("backoff")?;
        let origin = value.origin().map(str::to_owned);
        let table = match value.kind {
            ValueKind::Table(table) => table,
            _ => Map::from([("kind".to_owned(), Value::new(origin.as_ref(), value.kind))]),
        };
        let mut read = Self::default();
        let mut section = Section::new(format!("listener.{name}.backoff."), table, section.problems());
        section.take("kind", &mut read.kind);
        section.take("initial", &mut read.initial);
        section.take("multiplier", &mut read.multiplier);
        section.take("max", &mut read.max);
        section.take("delay", &mut read.delay);
        section.take("jitter", &mut read.jitter);
        section.finish();
        Some(read)
    }

    fn apply(&self, backoff: &mut Backoff) {
        match (self.kind, *backoff) {
            (Some(BackoffKind::None), _) => *backoff = Backoff::None,
            (Some(BackoffKind::Fixed), Backoff::Exponential { .. } | Backoff::None) => *backoff = FIXED,
            (Some(BackoffKind::Exponential), Backoff::Fixed { .. } | Backoff::None) => *backoff = Backoff::DEFAULT,
            _ => {}
        }
        match backoff {
            Backoff::Exponential { initial, multiplier, max, jitter } => {
                set(initial, self.initial);
                set(multiplier, self.multiplier);
                set(max, self.max);
                set(jitter, self.jitter);
            }
            Backoff::Fixed { delay, jitter } => {
                set(delay, self.delay);
                set(jitter, self.jitter);
            }
            Backoff::None => {}
        }
    }

    /// The first setting that has no meaning for this backoff.
    pub(super) fn misplaced(&self, backoff: &Backoff) -> Option<&'static str> {
        let exponential =
            [self.initial.map(|_| "initial"), self.multiplier.map(|_| "multiplier"), self.max.map(|_| "max")];
        let fixed = [self.delay.map(|_| "delay")];
        let jitter = [self.jitter.map(|_| "jitter")];
        match backoff {
            Backoff::Exponential { .. } => fixed.into_iter().flatten().next(),
            Backoff::Fixed { .. } => exponential.into_iter().flatten().next(),
            Backoff::None => exponential.into_iter().chain(fixed).chain(jitter).flatten().next(),
        }
    }
}

/// What a fixed backoff is when only its kind is set.
const FIXED: Backoff = Backoff::Fixed { delay: Duration::from_secs(1), jitter: 0.0 };
