use insta::assert_snapshot;
use quote::quote;

use super::derive;
use crate::snapshot::formatted;

#[test]
fn an_event_with_every_role() {
    assert_snapshot!(formatted(derive(quote! {
        #[tracked_event(event_type = "BOOKED", topic = "bookings", version = 2)]
        #[serde(rename_all = "camelCase")]
        pub struct BookingConfirmed {
            #[tracked_event(id)]
            event_id: Uuid,
            #[tracked_event(key, redact)]
            guest_name: Option<String>,
            #[tracked_event(correlation_id)]
            request: String,
            total: i64,
        }
    })));
}

#[test]
fn an_event_that_says_nothing() {
    assert_snapshot!(formatted(derive(quote! {
        #[tracked_event(crate = "crate::events")]
        enum SeatChanged { Taken { seat: String }, Freed }
    })));
}

#[test]
fn a_mistaken_event_is_still_an_event() {
    assert_snapshot!(formatted(derive(quote! {
        #[tracked_event(topic = "not a topic", colour = "red")]
        struct Changed<T> where T: Clone {
            #[tracked_event(key)]
            of: T,
        }
    })));
}
