//! How long to wait between attempts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The wait before each retry.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Backoff {
    /// `initial`, then `multiplier` times the last, up to `max`; each lengthened by up to `jitter` of itself.
    Exponential {
        /// The wait before the first retry.
        #[serde(with = "crate::config::duration")]
        initial: Duration,
        /// What each wait is multiplied by for the next.
        multiplier: f64,
        /// The longest wait, before jitter.
        #[serde(with = "crate::config::duration")]
        max: Duration,
        /// The part of a wait by which it may be lengthened at random, 0 to 1.
        jitter: f64,
    },
    /// The same wait each time, lengthened by up to `jitter` of itself.
    Fixed {
        /// The wait.
        #[serde(with = "crate::config::duration")]
        delay: Duration,
        /// The part of the wait by which it may be lengthened at random, 0 to 1.
        jitter: f64,
    },
    /// No wait.
    None,
}

impl Backoff {
    /// 1 s, 2 s, 4 s and so on to 5 min, lengthened by up to a tenth.
    pub const DEFAULT: Self = Self::Exponential {
        initial: Duration::from_secs(1),
        multiplier: 2.0,
        max: Duration::from_secs(300),
        jitter: 0.1,
    };

    /// The wait before retry `number` (the first is 1), with `chance` in 0..=1 choosing within the jitter.
    ///
    /// Jitter only lengthens, so that a dependency is never asked sooner than was declared.
    #[must_use]
    pub fn delay(&self, number: u32, chance: f64) -> Duration {
        let (base, jitter) = match *self {
            Self::Exponential { initial, multiplier, max, jitter } => {
                let exponent = i32::try_from(number.saturating_sub(1)).unwrap_or(i32::MAX);
                let seconds = initial.as_secs_f64() * multiplier.powi(exponent);
                (if seconds < max.as_secs_f64() { Duration::from_secs_f64(seconds) } else { max }, jitter)
            }
            Self::Fixed { delay, jitter } => (delay, jitter),
            Self::None => return Duration::ZERO,
        };
        base + base.mul_f64(jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_waits_one_two_and_four_seconds() {
        let waits: Vec<_> = (1..=3).map(|number| Backoff::DEFAULT.delay(number, 0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4]);
    }

    #[test]
    fn jitter_only_lengthens_and_the_cap_holds() {
        assert_eq!(Backoff::DEFAULT.delay(u32::MAX, 1.0), Duration::from_secs(330));
        assert_eq!(Backoff::DEFAULT.delay(1, 1.0), Duration::from_millis(1100));
    }
}
