//! Expansions assume no name: not the library's, not the prelude's, not a primitive type's, not a variable's.
#![no_implicit_prelude]
#![allow(dead_code, unused_imports, non_camel_case_types, missing_docs, unreachable_pub)]

mod taken {
    //! Names that an expansion might reach for, taken by something else.

    pub struct Result;
    pub struct Option;
    pub struct String;
    pub struct Vec;
    pub struct Box;
    pub struct Ok;
    pub struct Err;
    pub struct Some;
    pub struct None;
    pub struct Send;
    pub struct Fn;
    pub struct Into;
    pub struct From;
    pub struct Iterator;
    pub struct Default;
    pub mod std {}
    pub mod core {}
    pub mod serde_json {}
    pub mod tracked_events {}
}

mod taken_types {
    //! Types that the language has without saying, taken by something else.

    pub struct str;
    pub struct bool;
    pub struct u8;
    pub struct u32;
    pub struct u64;
    pub struct f64;
}

mod bare {
    use super::{taken::*, taken_types::*};

    #[derive(::events::TrackedEvent)]
    #[tracked_event(crate = "events")]
    pub struct Bare {
        #[tracked_event(key)]
        pub key: ::core::primitive::i64,
    }
}

mod bare_on_the_wire {
    use ::core::result::Result::{self, Ok};
    use ::serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::bare::Bare;

    impl Serialize for Bare {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_i64(self.key)
        }
    }

    impl<'de> Deserialize<'de> for Bare {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Ok(Bare { key: i64::deserialize(deserializer)? })
        }
    }
}

mod events_of_ours {
    use ::events::TrackedEvent;
    use ::serde::{Deserialize, Serialize};

    use super::taken::*;

    #[derive(Serialize, Deserialize, TrackedEvent)]
    #[tracked_event(crate = "events")]
    pub struct Booked {
        #[tracked_event(id)]
        pub event: ::std::string::String,
        #[tracked_event(key)]
        pub context: ::core::primitive::i64,
        #[tracked_event(correlation_id)]
        pub correlation_id: ::std::option::Option<::std::string::String>,
        #[tracked_event(redact)]
        pub r#type: ::std::string::String,
    }
}

mod handlers {
    use ::events::{tracked_listener, tracked_publish};

    use super::{events_of_ours::Booked, taken::*, taken_types::*};

    type Outcome = ::core::result::Result<(), ::events::HandlerError>;

    /// A handler whose name is that of a variable in the expansion.
    #[tracked_listener(
        crate = "::events", topics = ["a", "b"], group = "g", retries = 1, timeout = "1s", order = "key", queue = 1,
        backoff = exponential(max = "1m"), dead_letter = "dead", start = "latest", on_dead_letter = "hold_key",
        validate = context,
    )]
    pub async fn event(
        context: Booked,
        event: &::events::EventContext,
        tx: &mut ::events::Tx<'_>,
        parameter_0: ::events::State<::core::primitive::u64>,
    ) -> Outcome {
        let _ = (context.context, event.attempt(), tx, parameter_0.0);
        Outcome::Ok(())
    }

    pub fn context(event: &Booked) -> Outcome {
        let _ = event;
        Outcome::Ok(())
    }

    #[tracked_listener(crate = "events", blocking, backoff = fixed(delay = "1s"))]
    pub fn tx(booked: Booked, context: &::events::EventContext, tx: &mut ::diesel::SqliteConnection) -> Outcome {
        let _ = (booked.event, context.attempt(), tx);
        Outcome::Ok(())
    }

    #[tracked_listener(crate = "events", blocking, backoff = none)]
    pub fn r#match(booked: Booked) -> Outcome {
        let _ = booked.event;
        Outcome::Ok(())
    }

    type Staged = ::core::result::Result<Booked, ::diesel::result::Error>;

    /// A function whose parameters are named as variables in the expansion.
    #[tracked_publish(crate = "events", retries = 1, topic = "elsewhere", on = begun)]
    pub async fn stage(begun: &mut super::Untouched, scope: Booked, result: &mut ::core::primitive::u64) -> Staged {
        let _ = begun;
        *result += 1;
        Staged::Ok(scope)
    }

    #[tracked_publish(crate = "events")]
    pub fn stage_blocking(scope: &mut super::Untouched, result: Booked) -> Staged {
        Staged::Ok(result)
    }

    #[tracked_publish(crate = "events")]
    pub async fn publish(options: &::events::Publisher, result: Booked) -> Staged {
        Staged::Ok(result)
    }
}

/// A connection that no test writes on.
pub struct Untouched;

mod connection {
    use ::core::{result::Result, result::Result::Ok};
    use ::diesel::result::Error;
    use ::events::{
        __private::{AsyncStage, Ending, StageScope, SyncStage},
        store::StagedEvent,
    };

    impl AsyncStage for super::Untouched {
        async fn begin(&mut self) -> Result<StageScope, Error> {
            Ok(StageScope::Joined)
        }

        async fn insert(&mut self, _events: &[StagedEvent]) -> Result<(), Error> {
            Ok(())
        }

        async fn end(&mut self, _scope: StageScope, _ending: Ending) -> Result<(), Error> {
            Ok(())
        }
    }

    impl SyncStage for super::Untouched {
        fn begin(&mut self) -> Result<StageScope, Error> {
            Ok(StageScope::Joined)
        }

        fn insert(&mut self, _events: &[StagedEvent]) -> Result<(), Error> {
            Ok(())
        }

        fn end(&mut self, _scope: StageScope, _ending: Ending) -> Result<(), Error> {
            Ok(())
        }
    }
}

#[::core::prelude::v1::test]
fn expansions_assume_no_name() {
    let names: ::std::vec::Vec<_> = ::core::iter::Iterator::collect(::core::iter::Iterator::map(
        ::core::iter::IntoIterator::into_iter(::events::listeners![handlers::event, handlers::tx, handlers::r#match]),
        |listener| listener.name,
    ));
    ::std::assert_eq!(names, ["event", "tx", "match"]);
    ::std::assert_eq!(<events_of_ours::Booked as ::events::TrackedEvent>::REDACTED, ["type"]);
}
