//! Time, as the record keeps it.
//!
//! Every time in the record comes from one [`Clock`], which follows the **database's** clock, so that instances
//! whose own clocks differ agree on what is due. Tests hold a clock that they move themselves.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::watch;

mod text;

pub(crate) use self::text::TimestampText;

/// A point in time, UTC, in microseconds.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    diesel::expression::AsExpression,
    diesel::deserialize::FromSqlRow,
)]
#[diesel(sql_type = crate::stores::schema::UtcTimestamp)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The same point as a calendar time; saturates at the calendar's ends.
    #[must_use]
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// How long ago `earlier` was; zero if it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros())
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// `2013-01-01 10:00:00.000000`, always of 26 characters; years beyond 0 to 9999 become the nearest end of that range.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(TimestampText::from(*self).as_str())
    }
}

impl FromStr for Timestamp {
    type Err = chrono::ParseError;

    /// Reads what [`Display`](fmt::Display) writes, and RFC 3339.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(time) = text::parse(text) {
            return Ok(time);
        }
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
            .map(|time| time.and_utc().into())
            .or_else(|_| DateTime::parse_from_rfc3339(text).map(|time| time.to_utc().into()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_datetime().to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The clock that stores, retries and leases read. Cheap to clone; all clones are one clock.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    /// The system's clock, corrected by how far the database's clock is ahead of it, in microseconds.
    System { offset: AtomicI64 },
    /// Stands still until a test moves it.
    Manual { now: watch::Sender<i64> },
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Source::System { offset: AtomicI64::new(0) }))
    }

    /// A clock that stands at `start` until [`advance`](Clock::advance) moves it.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Source::Manual { now: watch::Sender::new(start.0) }))
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System { offset } => Timestamp(system_micros().saturating_add(offset.load(Ordering::Relaxed))),
            Source::Manual { now } => Timestamp(*now.borrow()),
        }
    }

    /// Waits until the clock reads `due` or later. Cancel safe.
    pub async fn sleep_until(&self, due: Timestamp) {
        match &*self.0 {
            Source::System { .. } => tokio::time::sleep(due.since(self.now())).await,
            Source::Manual { now } => {
                let mut reading = now.subscribe();
                // The sender lives in `self`, so this cannot fail while we wait.
                let _ = reading.wait_for(|now| *now >= due.0).await;
            }
        }
    }

    /// Follows the database: its clock read `database` when ours reads now. A manual clock takes no notice.
    pub fn follow(&self, database: Timestamp) {
        if let Source::System { offset } = &*self.0 {
            offset.store(database.0.saturating_sub(system_micros()), Ordering::Relaxed);
        }
    }

    /// Moves a manual clock forward and wakes who waits for it; a system clock takes no notice.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { now } = &*self.0 {
            now.send_modify(|micros| *micros = (Timestamp(*micros) + by).0);
        }
    }

    /// Whether this is a clock that a test moves.
    #[must_use]
    pub fn is_manual(&self) -> bool {
        matches!(&*self.0, Source::Manual { .. })
    }
}

fn system_micros() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back_is_the_same_point() {
        for micros in [0, 1, -1, 1_357_034_400_123_456, 253_402_300_799_999_999] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers_when_moved() {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(Timestamp::from_micros(2_000_000)).await }
        });
        clock.advance(Duration::from_secs(2));
        sleeper.await.unwrap();
        assert_eq!(clock.now().as_micros(), 2_000_000);
    }
}
