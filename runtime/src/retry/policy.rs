//! What becomes of an event after an attempt that did not succeed.

use std::time::Duration;

use super::Backoff;
use crate::error::Verdict;

/// A listener's rule for failed attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// How many retries may follow the first run.
    pub retries: u32,
    /// The wait before each.
    pub backoff: Backoff,
}

/// What to do with an event whose attempt did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// FAILED, due again after this long.
    Retry(Duration),
    /// RECEIVED, due again after this long; the attempt does not count.
    Snooze(Duration),
    /// FAILED_MAX_RETRY: to the dead letters, for review.
    DeadLetter,
    /// INVALID: kept, alerted, never retried.
    Invalid,
}

impl RetryPolicy {
    /// Decides after an attempt with `verdict`, when `retry_count` retries were already used. `chance` in 0..=1
    /// chooses within the jitter.
    #[must_use]
    pub fn decide(&self, verdict: Verdict, retry_count: u32, chance: f64) -> Decision {
        let retries_left = retry_count < self.retries;
        match verdict {
            Verdict::Invalid => Decision::Invalid,
            Verdict::Snooze(delay) => Decision::Snooze(delay),
            Verdict::Retry if retries_left => {
                Decision::Retry(self.backoff.delay(retry_count.saturating_add(1), chance))
            }
            Verdict::RetryAfter(delay) if retries_left => Decision::Retry(delay),
            Verdict::Retry | Verdict::RetryAfter(_) | Verdict::Reject => Decision::DeadLetter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy { retries: 3, backoff: Backoff::DEFAULT };

    #[test]
    fn one_run_and_three_retries_then_the_dead_letters() {
        let decisions: Vec<_> = (0..4).map(|count| POLICY.decide(Verdict::Retry, count, 0.0)).collect();
        let seconds = |s| Decision::Retry(Duration::from_secs(s));
        assert_eq!(decisions, [seconds(1), seconds(2), seconds(4), Decision::DeadLetter]);
    }

    #[test]
    fn a_snooze_never_uses_up_the_retries() {
        let later = Duration::from_secs(9);
        assert_eq!(POLICY.decide(Verdict::Snooze(later), 3, 0.0), Decision::Snooze(later));
    }
}
