//! Errors, one type for each audience.
//!
//! [`Error`] is for who operates the library, [`HandlerError`] is what a handler says about its event, and
//! [`ConfigError`] lists everything that is wrong at start-up, at once. Messages are lowercase, name values in
//! backticks, and end with the cure. `Display` never repeats the source.

use std::{error::Error as StdError, fmt, time::Duration};

/// Any error, as handlers and set-up functions return it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The result of an operation of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation of the library failed.
///
/// Opaque on purpose: ask [`kind`](Error::kind) what went wrong and [`is_retryable`](Error::is_retryable) whether
/// the same call may succeed later.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<BoxError>,
}

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The database refused a statement or could not be reached.
    Store,
    /// The database is there but cannot be used now: it is locked, restarting or out of connections.
    StoreUnavailable,
    /// The broker refused an operation or could not be reached.
    Broker,
    /// An event could not be encoded or decoded.
    Codec,
    /// Configuration, wiring or start-up.
    Config,
    /// The schema of the database is not the one that this version of the library needs.
    Schema,
    /// An operator's act does not fit the record's present state.
    Conflict,
    /// The record named does not exist.
    NotFound,
    /// The claim or lease under which an act was done is gone; nothing was changed.
    StaleClaim,
    /// The runtime is shutting down.
    ShuttingDown,
}

impl Error {
    /// An error of `kind` with a message that ends in the cure.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), source: None }))
    }

    /// The same, caused by `source`.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later without anything being changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::StoreUnavailable | ErrorKind::Broker)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<diesel::result::Error> for Error {
    fn from(source: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind as Db, Error as Diesel};
        let (kind, message) = match &source {
            Diesel::NotFound => (ErrorKind::NotFound, "the record does not exist"),
            Diesel::DatabaseError(Db::SerializationFailure | Db::UnableToSendCommand | Db::ClosedConnection, _)
            | Diesel::BrokenTransactionManager => {
                (ErrorKind::StoreUnavailable, "the database cannot be used now; the operation will be tried again")
            }
            Diesel::DatabaseError(_, info) if is_busy(info.message()) => (
                ErrorKind::StoreUnavailable,
                "the database is locked by another writer; the operation will be tried again",
            ),
            _ => (ErrorKind::Store, "the database refused a statement"),
        };
        Self::new(kind, message).caused_by(source)
    }
}

/// SQLite reports a lock, and PostgreSQL a deadlock or a restart, only in the message.
fn is_busy(message: &str) -> bool {
    [
        "database is locked",
        "canceling statement due to statement timeout",
        "canceling statement due to lock timeout",
        "too many clients",
        "remaining connection slots",
        "database table is locked",
        "deadlock detected",
        "terminating connection",
        "the database system is",
    ]
    .iter()
    .any(|busy| message.contains(busy))
}

/// What a handler says about its event, beside success.
///
/// Any error converts into it and means "try again"; the constructors say more. It is not itself an `Error`, so
/// that `?` converts every other error; it travels through a [`BoxError`] unharmed.
pub struct HandlerError {
    verdict: Verdict,
    source: BoxError,
}

/// What is to become of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Try again after the listener's backoff.
    Retry,
    /// Try again after this long.
    RetryAfter(Duration),
    /// Run it again after this long; this attempt does not count.
    Snooze(Duration),
    /// Straight to the dead letters.
    Reject,
    /// The event itself is malformed: kept as INVALID, never retried.
    Invalid,
}

impl HandlerError {
    fn new(verdict: Verdict, source: impl Into<BoxError>) -> Self {
        Self { verdict, source: source.into() }
    }

    /// No retry can help: the event goes straight to the dead letters.
    pub fn reject(error: impl Into<BoxError>) -> Self {
        Self::new(Verdict::Reject, error)
    }

    /// The event is malformed: it is kept as INVALID, alerted and never retried.
    pub fn invalid(error: impl Into<BoxError>) -> Self {
        Self::new(Verdict::Invalid, error)
    }

    /// Try again, after `delay` instead of the listener's backoff. The attempt counts.
    pub fn retry_after(delay: Duration, error: impl Into<BoxError>) -> Self {
        Self::new(Verdict::RetryAfter(delay), error)
    }

    /// Run the event again after `delay`. The attempt does not count.
    #[must_use]
    pub fn snooze(delay: Duration) -> Self {
        Self::new(Verdict::Snooze(delay), "snoozed by the handler")
    }

    /// What is to become of the event.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The error itself.
    #[must_use]
    pub fn into_source(self) -> BoxError {
        self.source
    }

    /// Takes a verdict back out of a box that a handler returned.
    #[must_use]
    pub fn from_box(error: BoxError) -> Self {
        match error.downcast::<Carrier>() {
            Ok(carrier) => carrier.0,
            Err(error) => Self::new(Verdict::Retry, error),
        }
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError").field("verdict", &self.verdict).field("source", &self.source).finish()
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(Verdict::Retry, error)
    }
}

/// Carries a [`HandlerError`] through a [`BoxError`].
#[derive(Debug)]
struct Carrier(HandlerError);

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.source, f)
    }
}

impl StdError for Carrier {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.source()
    }
}

impl From<HandlerError> for BoxError {
    fn from(error: HandlerError) -> Self {
        Box::new(Carrier(error))
    }
}

/// Everything that is wrong with configuration and wiring, found before an event is taken.
#[derive(Debug, Default)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// Adds a problem, with its cure.
    pub fn push(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// The problems found.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// `Ok` when no problem was found.
    ///
    /// # Errors
    /// This list of problems, when there is one.
    pub fn into_result(self) -> Result<(), Self> {
        if self.problems.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<String> for ConfigError {
    fn from(problem: String) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [one] => f.write_str(one),
            many => {
                write!(f, "{} problems:", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
            }
        }
    }
}

impl StdError for ConfigError {}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorKind::Config, "the service cannot start").caused_by(error)
    }
}

/// An error and its causes in one line each, as logs and records keep it.
#[must_use]
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_survives_the_box() {
        let boxed: BoxError = HandlerError::snooze(Duration::from_secs(3)).into();
        assert_eq!(HandlerError::from_box(boxed).verdict(), Verdict::Snooze(Duration::from_secs(3)));
    }

    #[test]
    fn any_error_means_try_again() {
        let boxed: BoxError = "mail server is away".into();
        assert_eq!(HandlerError::from_box(boxed).verdict(), Verdict::Retry);
    }

    #[test]
    fn chain_prints_each_cause_once() {
        let error = Error::new(ErrorKind::Store, "the write failed").caused_by(std::io::Error::other("disk is full"));
        assert_eq!(chain(&error), "the write failed: disk is full");
    }
}
