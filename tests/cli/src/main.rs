//! A small booking service, whose commands the tests run.

use clap::Subcommand;
use tracked_events::prelude::*;

/// A booking that a guest confirmed.
#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "BOOKING_CONFIRMED", topic = "booking-confirmed")]
struct BookingConfirmed {
    #[tracked_event(id)]
    event_id: String,
    #[tracked_event(key)]
    booking_id: i64,
    #[tracked_event(correlation_id)]
    correlation_id: Option<String>,
    #[tracked_event(redact)]
    guest_email: String,
    mail_works: bool,
}

/// From `[app.mail]`.
#[derive(Clone, Deserialize)]
struct Mail {
    #[serde(default)]
    sender: Option<String>,
}

/// Fails for good when the mail does not work.
#[tracked_listener(topic = "booking-confirmed", retries = 1, backoff = fixed(delay = "10ms"))]
async fn send_confirmation(event: BookingConfirmed, mail: State<Mail>) -> Result<(), BoxError> {
    let sender = mail.sender.as_deref().unwrap_or("nobody");
    match event.mail_works {
        true => Ok(()),
        false => Err(format!("mail server refused a message from {sender}").into()),
    }
}

/// Keeps the events of a booking in order.
#[tracked_listener(topic = "booking-confirmed", order = "key")]
async fn add_points(_event: BookingConfirmed, _tx: &mut Tx<'_>) -> Result<(), HandlerError> {
    Ok(())
}

/// The service's own commands.
#[derive(Subcommand)]
enum Own {
    /// Publish two bookings, one of which has no working mail, and handle them
    Seed,
}

impl Command for Own {
    async fn run(self, service: Service) -> Result<(), BoxError> {
        let Self::Seed = self;
        let handle = service.start().await?;
        for (event_id, booking_id, mail_works) in [("b-1", 1, true), ("b-2", 2, false)] {
            let event = BookingConfirmed {
                event_id: event_id.to_owned(),
                booking_id,
                correlation_id: Some("request-7".to_owned()),
                guest_email: "guest@hotel.example".to_owned(),
                mail_works,
            };
            handle.publisher().publish(&event).await?;
        }
        handle.idle().await?;
        handle.drain().await?;
        Ok(())
    }
}

async fn setup(app: &mut Setup) -> Result<(), BoxError> {
    let mail: Mail = app.config("mail")?;
    app.state(mail);
    Ok(())
}

consumer_main! { setup = setup, command = Own }
