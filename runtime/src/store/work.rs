//! The states of work, as the tables name them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Defines an enum whose variants are the words of a `status` column.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// Every one, in the order of an event's life.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in the table.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().find(|known| known.as_str().eq_ignore_ascii_case(word));
                found.copied().ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|known| format!("`{known}`")).collect();
                    format!("unknown word `{word}`; expected one of {}", known.join(", "))
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

words! {
    /// The status of a published event.
    ProductionStatus {
        /// Staged; the relay has not taken it yet.
        Pending = "PENDING",
        /// Handed to the broker, not yet acknowledged.
        Publishing = "PUBLISHING",
        /// Acknowledged by the broker.
        Published = "PUBLISHED",
        /// Refused; due again.
        Failed = "FAILED",
        /// Refused for the last time; for review.
        FailedMaxRetry = "FAILED_MAX_RETRY",
        /// Given up by an operator.
        Discarded = "DISCARDED",
    }
}

words! {
    /// The status of a consumed event.
    ConsumptionStatus {
        /// Admitted, waiting.
        Received = "RECEIVED",
        /// Claimed by a live worker.
        Processing = "PROCESSING",
        /// Handled.
        Processed = "PROCESSED",
        /// The last attempt failed; due again.
        Failed = "FAILED",
        /// The last attempt failed for the last time; dead-lettered, for review.
        FailedMaxRetry = "FAILED_MAX_RETRY",
        /// Cannot be decoded or fails validation; kept, never retried.
        Invalid = "INVALID",
        /// Nobody in the group wants it.
        NoHandler = "NO_HANDLER",
        /// Seen before; the handler was not run.
        Duplicate = "DUPLICATE",
        /// Given up by an operator.
        Discarded = "DISCARDED",
    }
}

words! {
    /// How one attempt ended.
    AttemptStatus {
        /// The handler succeeded and its effects are committed.
        Success = "SUCCESS",
        /// The handler returned an error.
        Failed = "FAILED",
        /// The handler, or the whole of the processing, took too long.
        Timeout = "TIMEOUT",
        /// The handler panicked.
        Panic = "PANIC",
        /// The handler refused the event for good.
        Rejected = "REJECTED",
        /// The process died, or lost its lease, with the attempt under way.
        Abandoned = "ABANDONED",
        /// A shutdown or a snooze ended it; it does not count.
        Interrupted = "INTERRUPTED",
    }
}

words! {
    /// What kind of event a published row is.
    EventKind {
        /// An event of the service.
        Event = "event",
        /// A dead letter.
        DeadLetter = "dead_letter",
        /// An event sent again by a replay.
        Replay = "replay",
    }
}

words! {
    /// What a row of open inbox work waits for.
    InboxState {
        /// Admitted; a worker.
        Waiting = "waiting",
        /// The earlier events of its key.
        Held = "held",
        /// Its due time.
        Due = "due",
        /// Nothing: a live worker has it.
        Claimed = "claimed",
        /// Nothing: its handler has begun. Written only for events whose process died before.
        Started = "started",
        /// An operator.
        Review = "review",
    }
}

words! {
    /// What a row of open outbox work waits for.
    OutboxState {
        /// The relay.
        Pending = "pending",
        /// Its due time.
        Failed = "failed",
        /// An operator.
        Review = "review",
    }
}
