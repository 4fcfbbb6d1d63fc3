//! A mail service that is down for an hour of the simulated week, and slow now and then.
//!
//! What it does depends only on the message and the attempt, so that every run meets the same trouble.

use std::time::Duration;

use chrono::{DateTime, Datelike, Timelike, Utc};
use thiserror::Error;

use crate::events::FlightNotice;

/// Longer than `notify_passengers` waits.
const NEVER_ANSWERS: Duration = Duration::from_secs(3600);
const SLOW_ANSWER: Duration = Duration::from_millis(40);

/// The mail service's client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MailService;

/// The mail service refused a message.
#[derive(Debug, Error)]
#[error("the mail service is down, flight `{carrier}{number}`'s passengers are not told yet")]
pub(crate) struct MailDown {
    carrier: String,
    number: i32,
}

impl MailService {
    /// Sends a notice. By an attempt's retry the outage is over.
    pub(crate) async fn send(self, notice: &FlightNotice, attempt: u32) -> Result<(), MailDown> {
        if attempt == 1 && is_down_at(notice.scheduled_at) {
            if notice.scheduled_at.minute() == 0 {
                tokio::time::sleep(NEVER_ANSWERS).await;
            }
            return Err(MailDown { carrier: notice.carrier.clone(), number: notice.number });
        }
        if notice.row_number % 100 == 0 {
            tokio::time::sleep(SLOW_ANSWER).await;
        }
        Ok(())
    }
}

/// From 17:00 to 18:00 in New York on the second day.
fn is_down_at(time: DateTime<Utc>) -> bool {
    time.day() == 2 && time.hour() == 22
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(scheduled_at: &str) -> FlightNotice {
        let scheduled_at = scheduled_at.parse().unwrap_or_default();
        FlightNotice { row_number: 1, carrier: "UA".to_owned(), number: 1545, scheduled_at }
    }

    #[tokio::test]
    async fn the_outage_is_over_when_a_message_is_sent_again() {
        let notice = notice("2013-01-02T22:15:00Z");
        assert!(MailService.send(&notice, 1).await.is_err());
        assert!(MailService.send(&notice, 2).await.is_ok());
    }

    #[tokio::test]
    async fn the_service_is_up_outside_the_outage() {
        assert!(MailService.send(&notice("2013-01-02T21:59:00Z"), 1).await.is_ok());
        assert!(MailService.send(&notice("2013-01-02T23:00:00Z"), 1).await.is_ok());
    }
}
