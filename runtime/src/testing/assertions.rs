//! What a test asks both logs.

use std::fmt::Write;

use super::Harness;
use crate::{
    error::{Error, ErrorKind, Result},
    event::TrackedEvent,
    store::{AttemptRecord, ConsumptionRecord, ConsumptionStatus, ProductionRecord, RecordQuery},
};

/// The most rows that a test reads of a log.
const MOST: u32 = 10_000;

impl Harness {
    /// What a listener consumed, oldest first, duplicates included.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn consumed(&self, listener: &str) -> Result<Vec<ConsumptionRecord>> {
        let query = RecordQuery { listener: Some(listener.to_owned()), limit: MOST, ..RecordQuery::default() };
        let mut records = self.handle.store().consumed(&query).await?;
        records.reverse();
        Ok(records)
    }

    /// What was published to a topic, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn published(&self, topic: &str) -> Result<Vec<ProductionRecord>> {
        let query = RecordQuery { topic: Some(topic.to_owned()), limit: MOST, ..RecordQuery::default() };
        let mut records = self.handle.store().produced(&query).await?;
        records.reverse();
        Ok(records)
    }

    /// The events of a type that were published, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked, or a payload is not of the type.
    pub async fn published_events<E: TrackedEvent>(&self) -> Result<Vec<E>> {
        let records = self.published(E::TOPIC).await?;
        let of_type = records.iter().filter(|record| record.event_type == E::EVENT_TYPE);
        of_type
            .map(|record| {
                serde_json::from_slice(record.payload.as_deref().unwrap_or_default()).map_err(|error| {
                    let message = format!("event `{}` is not a valid `{}`", record.event_id, E::EVENT_TYPE);
                    Error::new(ErrorKind::Codec, message).caused_by(error)
                })
            })
            .collect()
    }

    /// The attempts at what a listener consumed, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn attempts(&self, listener: &str) -> Result<Vec<AttemptRecord>> {
        let ids: Vec<_> = self.consumed(listener).await?.iter().map(|record| record.id).collect();
        self.handle.store().attempts(&ids).await
    }

    /// Asserts where everything stands that a listener consumed, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    ///
    /// # Panics
    /// When it stands elsewhere; the message shows the rows and their attempts.
    #[track_caller]
    pub fn assert_consumed<'a>(
        &'a self,
        listener: &'a str,
        expected: &'a [ConsumptionStatus],
    ) -> impl Future<Output = Result<()>> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let records = self.consumed(listener).await?;
            let found: Vec<_> = records.iter().map(|record| record.status).collect();
            if found != expected {
                let story = self.story(&records).await?;
                mismatch(&format!("{caller}: `{listener}` should have reached {expected:?}, and has:\n{story}"));
            }
            Ok(())
        }
    }

    /// Asserts how many events were published to a topic.
    ///
    /// # Errors
    /// When the database cannot be asked.
    ///
    /// # Panics
    /// When it is another number; the message lists them.
    #[track_caller]
    pub fn assert_published<'a>(&'a self, topic: &'a str, expected: usize) -> impl Future<Output = Result<()>> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let records = self.published(topic).await?;
            if records.len() != expected {
                let list: Vec<_> = records.iter().map(|record| (&record.event_type, &record.event_id)).collect();
                mismatch(&format!(
                    "{caller}: {expected} events should have been published to `{topic}`, found {list:?}"
                ));
            }
            Ok(())
        }
    }

    /// The rows and their attempts, for people.
    async fn story(&self, records: &[ConsumptionRecord]) -> Result<String> {
        let ids: Vec<_> = records.iter().map(|record| record.id).collect();
        let attempts = self.handle.store().attempts(&ids).await?;
        let mut story = String::new();
        for record in records {
            let error = record.error_message.as_deref().unwrap_or_default();
            let _ = writeln!(story, "  {} {} {error}", record.event_id, record.status);
            for attempt in attempts.iter().filter(|attempt| attempt.consumption_id == record.id) {
                let error = attempt.error_message.as_deref().unwrap_or_default();
                let _ = writeln!(story, "    attempt {} {} {error}", attempt.attempt_number, attempt.status);
            }
        }
        Ok(story)
    }
}

/// Fails the test.
#[allow(clippy::panic, reason = "an assertion that does not hold is a panic")]
fn mismatch(message: &str) {
    panic!("{message}");
}
