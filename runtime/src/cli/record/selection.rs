//! What to look for, as flags.

use std::{str::FromStr, time::Duration};

use clap::Args;

use crate::{
    cli::exit::UsageError,
    clock::{Clock, Timestamp},
    store::{ConsumptionStatus, LogId, ProductionStatus, RecordQuery},
};

/// Which records. Every flag that is given must match.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Filter {
    /// Only this status, such as `FAILED_MAX_RETRY`
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Only this topic
    #[arg(long)]
    pub(crate) topic: Option<String>,
    /// Only this event type
    #[arg(long = "type", value_name = "EVENT_TYPE")]
    pub(crate) event_type: Option<String>,
    /// Only this consumer group
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// Only this listener
    #[arg(long)]
    pub(crate) listener: Option<String>,
    /// Only this message key
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Only this correlation id
    #[arg(long, value_name = "ID")]
    pub(crate) correlation: Option<String>,
    /// Only at or after this time: `2026-11-21`, `2026-11-21 22:30:00`, or `2h` ago (UTC)
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<PastTime>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<PastTime>,
}

impl Filter {
    /// Whether no flag was given.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { status, topic, event_type, group, listener, key, correlation, from, to } = self;
        [status, topic, event_type, group, listener, key, correlation].into_iter().all(Option::is_none)
            && from.is_none()
            && to.is_none()
    }

    /// As a query of the consumption log.
    pub(crate) fn of_consumed(&self) -> Result<RecordQuery, UsageError> {
        let status = self.status_as::<ConsumptionStatus>()?;
        Ok(RecordQuery { status: status.map(|status| status.to_string()), ..self.without_status() })
    }

    /// As a query of the production log.
    pub(crate) fn of_published(&self) -> Result<RecordQuery, UsageError> {
        if self.group.is_some() || self.listener.is_some() {
            return Err(UsageError(
                "a published event has no group or listener; leave out `--group` and `--listener`".into(),
            ));
        }
        let status = self.status_as::<ProductionStatus>()?;
        Ok(RecordQuery { status: status.map(|status| status.to_string()), ..self.without_status() })
    }

    fn status_as<S: FromStr<Err = String>>(&self) -> Result<Option<S>, UsageError> {
        let status = self.status.as_deref().map(S::from_str).transpose();
        status.map_err(|problem| UsageError(format!("`--status`: {problem}")))
    }

    fn without_status(&self) -> RecordQuery {
        RecordQuery {
            topic: self.topic.clone(),
            event_type: self.event_type.clone(),
            group: self.group.clone(),
            listener: self.listener.clone(),
            key: self.key.clone().map(String::into_bytes),
            correlation_id: self.correlation.clone(),
            from: self.from.map(|time| time.0),
            to: self.to.map(|time| time.0),
            ..RecordQuery::default()
        }
    }
}

/// Which part of the answer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pages")]
pub(crate) struct Page {
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Only those after this row of the list: the id of the last row seen
    #[arg(long, value_name = "LOG_ID")]
    pub(crate) after: Option<LogId>,
}

impl Page {
    /// The query, for this page of it.
    pub(crate) fn of(&self, query: RecordQuery) -> RecordQuery {
        RecordQuery { limit: self.limit, after_id: self.after, ..query }
    }
}

/// An event's id, or `#` and the id of a row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    /// An event's id.
    Event(String),
    /// A row's id.
    Row(LogId),
    /// A number: an event's id if there is such an event, else a row's.
    Either(LogId),
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(number) = text.strip_prefix('#') {
            return number.parse().map(Self::Row).map_err(|_| format!("`{text}` is not `#` and a row's number"));
        }
        Ok(text.parse().map_or_else(|_| Self::Event(text.to_owned()), Self::Either))
    }
}

/// A point in time, as people write it: `2026-11-21`, `2026-11-21 22:30:00`, RFC 3339, or how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PastTime(pub(crate) Timestamp);

impl FromStr for PastTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let written =
            text.parse().or_else(|_| format!("{text} 00:00:00").parse()).or_else(|_| format!("{text}:00").parse());
        if let Ok(time) = written {
            return Ok(Self(time));
        }
        let ago: Duration = humantime::parse_duration(text)
            .map_err(|_| format!("`{text}` is not a time; write `2026-11-21`, `2026-11-21 22:30:00` or `2h` (ago)"))?;
        let now = Clock::system().now().as_micros();
        let micros = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
        Ok(Self(Timestamp::from_micros(now.saturating_sub(micros))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_an_event_or_of_a_row() {
        assert_eq!("#12".parse(), Ok(Id::Row(12)));
        assert_eq!("12".parse(), Ok(Id::Either(12)));
        assert_eq!("dl:a:12:0".parse(), Ok(Id::Event("dl:a:12:0".into())));
        assert!("#x".parse::<Id>().is_err());
    }

    #[test]
    fn times_are_written_in_several_ways() {
        let at = |text: &str| text.parse::<PastTime>().unwrap().0.to_string();
        assert_eq!(at("2013-01-07"), "2013-01-07 00:00:00.000000");
        assert_eq!(at("2013-01-07 10:30"), "2013-01-07 10:30:00.000000");
        assert_eq!(at("2013-01-07T10:30:00Z"), "2013-01-07 10:30:00.000000");
        assert!("2h".parse::<PastTime>().is_ok());
        assert!("yesterday".parse::<PastTime>().is_err());
    }

    #[test]
    fn an_unknown_status_lists_the_known_ones() {
        let filter = Filter { status: Some("DONE".into()), ..Filter::default() };
        let problem = filter.of_published().unwrap_err().to_string();
        assert!(problem.starts_with("`--status`: unknown word `DONE`; expected one of `PENDING`"), "{problem}");
        let filter = Filter { status: Some("processed".into()), ..Filter::default() };
        assert_eq!(filter.of_consumed().unwrap().status.as_deref(), Some("PROCESSED"));
    }
}
