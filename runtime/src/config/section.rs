//! Reads one table of settings: takes what is known, and says of the rest what was meant.

use std::{net::SocketAddr, time::Duration};

use ::config::{Map, Value, ValueKind};

use super::{redact::redacted_url, sources::PREFIX};
use crate::{
    error::ConfigError,
    listen::{OnDeadLetter, Order, Start},
};

/// A table of settings that is being read.
pub(super) struct Section<'a> {
    /// What stands before its keys: empty, or `listener.send_mail.`.
    prefix: String,
    values: Map<String, Value>,
    known: Vec<&'static str>,
    problems: &'a mut ConfigError,
}

impl<'a> Section<'a> {
    pub(super) fn new(prefix: impl Into<String>, values: Map<String, Value>, problems: &'a mut ConfigError) -> Self {
        Self { prefix: prefix.into(), values, known: Vec::new(), problems }
    }

    /// Reads `key` into `slot` if it is set.
    pub(super) fn take<T: Setting>(&mut self, key: &'static str, slot: &mut T) {
        self.take_if(key, slot, |_| None);
    }

    /// Reads `key` into `slot` if it is set and `objection` has none.
    pub(super) fn take_if<T: Setting>(
        &mut self,
        key: &'static str,
        slot: &mut T,
        objection: impl Fn(&T) -> Option<&'static str>,
    ) {
        let Some(value) = self.take_raw(key) else { return };
        let Some(read) = T::read(&value) else {
            return self.refuse(key, &value, &format!("which is not {}", T::EXPECTED));
        };
        match objection(&read) {
            Some(objection) => self.refuse(key, &value, objection),
            None => *slot = read,
        }
    }

    /// Takes out `key` as it is.
    pub(super) fn take_raw(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.values.remove(key)
    }

    /// Takes out the table at `key`.
    pub(super) fn take_table(&mut self, key: &'static str) -> Option<Map<String, Value>> {
        let value = self.take_raw(key)?;
        let Value { kind: ValueKind::Table(table), .. } = value else {
            self.refuse(key, &value, &format!("which is not a table; write `[{key}.NAME]`"));
            return None;
        };
        Some(table)
    }

    /// Where the problems go.
    pub(super) fn problems(&mut self) -> &mut ConfigError {
        self.problems
    }

    /// Adds a problem with a value.
    pub(super) fn refuse(&mut self, key: &str, value: &Value, problem: &str) {
        let name = format!("{}{key}", self.prefix);
        self.problems.push(format!("{}: `{name}` is `{}`, {problem}", origin_of(value), shown(value)));
    }

    /// Every key that was not taken is a problem.
    pub(super) fn finish(mut self) {
        let mut left: Vec<_> = std::mem::take(&mut self.values).into_iter().collect();
        left.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (key, value) in left {
            let origin = origin_of(&value);
            let in_environment = origin.starts_with(PREFIX);
            let name = |key: &str| match in_environment {
                true => format!("{PREFIX}{}", format!("{}{key}", self.prefix).replace('.', "__").to_uppercase()),
                false => format!("{}{key}", self.prefix),
            };
            let cure = match nearest(&key, self.known.iter().copied()) {
                Some(meant) => format!("did you mean `{}`?", name(meant)),
                None => {
                    let known: Vec<_> = self.known.iter().map(|known| format!("`{known}`")).collect();
                    format!("expected one of {}", known.join(", "))
                }
            };
            self.problems.push(format!("{origin}: unknown setting `{}`; {cure}", name(&key)));
        }
    }
}

/// Where a value was written.
pub(super) fn origin_of(value: &Value) -> String {
    value.origin().unwrap_or("the defaults").to_owned()
}

/// A value as an error may show it.
fn shown(value: &Value) -> String {
    redacted_url(&value.to_string())
}

/// The word nearest to `word`, if one is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR: f64 = 0.8;
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(word, known), known));
    let (score, best) = scored.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (score >= NEAR).then_some(best)
}

/// A type that a setting can have. The environment brings text for every one.
pub(super) trait Setting: Sized {
    /// What is right, after "not".
    const EXPECTED: &'static str;

    fn read(value: &Value) -> Option<Self>;
}

impl<T: Setting> Setting for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(value: &Value) -> Option<Self> {
        T::read(value).map(Some)
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "text";

    fn read(value: &Value) -> Option<Self> {
        text(value).map(str::to_owned)
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "`true` or `false`";

    fn read(value: &Value) -> Option<Self> {
        match &value.kind {
            ValueKind::Boolean(yes) => Some(*yes),
            _ => text(value)?.parse().ok(),
        }
    }
}

impl Setting for u32 {
    const EXPECTED: &'static str = "a whole number from 0 to 4294967295";

    fn read(value: &Value) -> Option<Self> {
        match &value.kind {
            ValueKind::I64(number) => u32::try_from(*number).ok(),
            _ => text(value)?.parse().ok(),
        }
    }
}

impl Setting for f64 {
    const EXPECTED: &'static str = "a number";

    fn read(value: &Value) -> Option<Self> {
        let number = match &value.kind {
            ValueKind::Float(number) => *number,
            ValueKind::I64(number) => f64::from(i32::try_from(*number).ok()?),
            _ => text(value)?.parse().ok()?,
        };
        number.is_finite().then_some(number)
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a duration; write one such as `30s` or `1m 30s`";

    fn read(value: &Value) -> Option<Self> {
        humantime::parse_duration(text(value)?).ok()
    }
}

/// An address to listen on, or `off`.
#[derive(Clone, Copy)]
pub(super) struct Bind(pub(super) Option<SocketAddr>);

impl Setting for Bind {
    const EXPECTED: &'static str = "an address; write one such as `127.0.0.1:8080`, or `off`";

    fn read(value: &Value) -> Option<Self> {
        match text(value)? {
            "off" => Some(Self(None)),
            address => address.parse().ok().map(|address| Self(Some(address))),
        }
    }
}

macro_rules! words {
    ($($ty:ty: $expected:literal { $($word:literal => $value:expr),+ })+) => {$(
        impl Setting for $ty {
            const EXPECTED: &'static str = $expected;

            fn read(value: &Value) -> Option<Self> {
                match text(value)? { $($word => Some($value),)+ _ => None }
            }
        }
    )+};
}

words! {
    Order: "`key` or `none`" { "key" => Self::Key, "none" => Self::None }
    OnDeadLetter: "`continue` or `hold_key`" { "continue" => Self::Continue, "hold_key" => Self::HoldKey }
    Start: "`earliest` or `latest`" { "earliest" => Self::Earliest, "latest" => Self::Latest }
}

fn text(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}
