//! A booking is confirmed, and the guest is told: once, on record, and again if the first try fails.

use tracked_events::{Error, Handle, Setup, prelude::*};

#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "BOOKING_CONFIRMED", topic = "booking-confirmed", version = 1)]
struct BookingConfirmed {
    #[tracked_event(key)]
    booking_id: i64,
    guest: String,
}

#[tracked_publish]
async fn confirm_booking(publisher: &Publisher, booking_id: i64, guest: &str) -> Result<BookingConfirmed, Error> {
    Ok(BookingConfirmed { booking_id, guest: guest.to_owned() })
}

#[tracked_listener(topic = "booking-confirmed", retries = 3)]
async fn send_confirmation(event: BookingConfirmed, ctx: &EventContext) -> Result<(), BoxError> {
    if ctx.attempt() == 1 {
        return Err("the mail server is away".into());
    }
    println!("dear {}, booking {} is confirmed (attempt {})", event.guest, event.booking_id, ctx.attempt());
    Ok(())
}

consumer_main! { setup = setup }

async fn setup(app: &mut Setup) -> Result<(), BoxError> {
    app.task("desk", desk);
    Ok(())
}

async fn desk(handle: Handle) -> Result<(), Error> {
    confirm_booking(handle.publisher(), 42, "Ada").await?;
    Ok(())
}
