//! Times and spans of time, for people.

use std::time::Duration;

use crate::clock::Timestamp;

/// `2026-11-21 22:30:01.123Z`.
pub(crate) fn instant(time: Timestamp) -> String {
    time.to_datetime().format("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
}

/// How long something takes: `12 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn span(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..MINUTE if duration.subsec_millis() < 50 => format!("{seconds} s"),
        1..MINUTE => format!("{:.1} s", duration.as_secs_f64()),
        MINUTE..HOUR => format!("{} min {} s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{} h {} min", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{} d {} h", seconds / DAY, seconds % DAY / HOUR),
    }
}

/// How long after `start` it was: `+0.014 s`, `+3 d 4 h`.
pub(crate) fn offset(start: Timestamp, time: Timestamp) -> String {
    let after = time.since(start);
    if after < Duration::from_secs(60) { format!("+{:.3} s", after.as_secs_f64()) } else { format!("+{}", span(after)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_at_a_glance() {
        let shown =
            [0, 12, 999, 3_249, 30_000, 250_000, 7_500_000, 273_600_000].map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(shown, ["0 ms", "12 ms", "999 ms", "3.2 s", "30 s", "4 min 10 s", "2 h 5 min", "3 d 4 h"]);
    }
}
