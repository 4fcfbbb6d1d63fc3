//! Places at which a test has the process die, and guards that a test takes away.
//!
//! A build without the feature `failpoints` has none of them. With it, `TRACKED_KILL_AT=settle.unknown:3` kills the
//! process with SIGKILL the third time that it comes by the point of that name: nothing is flushed, closed or said, as
//! when the machine's memory runs out. Points are passed in the middle of transactions too, so they must not block.

/// Marks a point by its name. `docs/reliability.md` lists them.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::passed($name);
    };
    ($name:literal, if $condition:expr) => {
        #[cfg(feature = "failpoints")]
        if $condition {
            $crate::failpoint::passed($name);
        }
    };
}

/// A guard, by its name, and what is done without it: `TRACKED_GUARD_OFF=admit.key` takes that one away, so that a test
/// can show that its absence is noticed. A build without the feature `failpoints` has the guard and nothing else.
macro_rules! guard {
    ($name:literal, $with:expr, without $without:expr) => {{
        #[cfg(not(feature = "failpoints"))]
        let guarded = $with;
        #[cfg(feature = "failpoints")]
        let guarded = if $crate::failpoint::stands($name) { $with } else { $without };
        guarded
    }};
}

#[cfg(feature = "failpoints")]
pub use self::armed::passed;
#[cfg(feature = "failpoints")]
pub(crate) use self::armed::stands;

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| Armed::read(&std::env::var("TRACKED_KILL_AT").ok()?));

    static GUARD_OFF: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("TRACKED_GUARD_OFF").ok());

    struct Armed {
        point: String,
        left: AtomicU64,
    }

    impl Armed {
        /// Reads `point:count`; a point alone is its first passage.
        fn read(setting: &str) -> Option<Self> {
            let (point, count) = setting.split_once(':').unwrap_or((setting, "1"));
            Some(Self { point: point.to_owned(), left: AtomicU64::new(count.parse().ok()?) })
        }

        fn is_due(&self, point: &str) -> bool {
            self.point == point && self.left.fetch_sub(1, Ordering::Relaxed) == 1
        }
    }

    /// Kills the process if this passage of the point is the one that was asked for.
    pub fn passed(point: &str) {
        if ARMED.as_ref().is_some_and(|armed| armed.is_due(point)) {
            die();
        }
    }

    /// Whether a guard was left where it is.
    #[must_use]
    pub(crate) fn stands(guard: &str) -> bool {
        GUARD_OFF.as_deref() != Some(guard)
    }

    fn die() -> ! {
        #[cfg(unix)]
        {
            use rustix::process::{Signal, getpid, kill_process};
            // It cannot fail: a process may always signal itself.
            let _ = kill_process(getpid(), Signal::KILL);
        }
        std::process::abort()
    }

    #[cfg(test)]
    mod tests {
        use super::Armed;

        #[test]
        fn a_point_is_due_at_the_passage_that_was_asked_for_and_at_no_other() {
            let armed = Armed::read("settle.unknown:3").unwrap();
            let passages: Vec<_> = (0..5).map(|_| armed.is_due("settle.unknown")).collect();
            assert_eq!(passages, [false, false, true, false, false]);
            assert!(Armed::read("settle.unknown").unwrap().is_due("settle.unknown"));
            assert!(!Armed::read("settle.unknown").unwrap().is_due("settle"));
        }
    }
}
