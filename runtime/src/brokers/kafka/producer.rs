//! Sends messages, all of a batch under way at once.
//!
//! The order of a key survives because a client never leaves a gap: it is idempotent, and at the first message that the
//! cluster refuses for good it stops (`enable.gapless.guarantee`). What it has not sent by then is taken back, and the
//! next batch begins with a fresh client. The same happens when acknowledgements stay away for too long: messages do
//! not time out one by one, since a later one of the key could then be sent when the cluster is back in between.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{
    ClientConfig,
    error::KafkaError,
    producer::{FutureProducer, Producer as _, PurgeConfig},
};
use tokio::time::Instant;

use super::{
    batch::{Batch, Outcome},
    config::Config,
};
use crate::{
    broker::{Acknowledgement, OutgoingMessage, Producer, SendError},
    error::{Error, ErrorKind, Result},
};

pub(super) struct KafkaProducer {
    client: ClientConfig,
    delivery_timeout: Duration,
    life: Mutex<Option<Arc<Life>>>,
}

/// One client, until its first gap.
pub(super) struct Life(Option<FutureProducer>);

impl Life {
    pub(super) fn client(&self) -> Result<&FutureProducer, KafkaError> {
        self.0.as_ref().ok_or(KafkaError::Canceled)
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|client| client.client().fatal_error().is_some())
    }
}

impl KafkaProducer {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let producer =
            Self { client: config.producer(), delivery_timeout: config.delivery_timeout()?, life: Mutex::new(None) };
        producer.life().map_err(|error| {
            Error::new(ErrorKind::Config, "the Kafka producer cannot be made; correct the broker's URL")
                .caused_by(error)
        })?;
        Ok(producer)
    }

    pub(super) fn life(&self) -> Result<Arc<Life>, KafkaError> {
        let mut slot = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(life) = &*slot {
            return Ok(life.clone());
        }
        let life = Arc::new(Life(Some(self.client.create()?)));
        *slot = Some(life.clone());
        Ok(life)
    }

    /// Takes back all that a client has not got through, at once; the next batch gets a fresh one.
    pub(super) fn end(&self, life: &Arc<Life>) {
        let mut slot = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, life)) {
            *slot = None;
        }
        if let Some(client) = &life.0 {
            client.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

impl Drop for Life {
    /// The client flushes when it is dropped, which a task must not wait for.
    fn drop(&mut self) {
        let client = self.0.take();
        let dropped = thread::Builder::new().name("kafka-producer-end".to_owned()).spawn(move || drop(client));
        if let Err(error) = dropped {
            tracing::warn!(%error, "no thread to end a Kafka producer on");
        }
    }
}

#[async_trait]
impl Producer for KafkaProducer {
    async fn send(&self, messages: Vec<OutgoingMessage>) -> Vec<Result<Acknowledgement, SendError>> {
        let mut outcomes = self.pass(messages.iter().collect(), Pace::Together).await;
        if messages.len() > 1 && outcomes.iter().any(Outcome::is_suspect) {
            let again = (0..messages.len()).zip(&outcomes).filter(|(_, outcome)| !outcome.is_acknowledged());
            let again: Vec<_> = again.map(|(place, _)| place).collect();
            let alone = again.iter().filter_map(|&place| messages.get(place)).collect();
            for (place, outcome) in again.iter().zip(self.pass(alone, Pace::OneByOne).await) {
                outcomes[*place] = outcome;
            }
        }
        outcomes.into_iter().map(Outcome::into_result).collect()
    }
}

impl KafkaProducer {
    async fn pass(&self, messages: Vec<&OutgoingMessage>, pace: Pace) -> Vec<Outcome> {
        let mut batch = Batch::new(self, Instant::now() + self.delivery_timeout);
        for message in messages {
            batch.enqueue(message).await;
            if pace == Pace::OneByOne {
                batch.settle_next().await;
                batch.renew_life();
            }
        }
        while batch.settle_next().await {}
        batch.outcomes()
    }
}

/// How a batch is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// All of it under way at once.
    Together,
    /// Each alone, to find out which of them is the one that the cluster refuses: it answers for a whole batch of its
    /// own, and names no message.
    OneByOne,
}
