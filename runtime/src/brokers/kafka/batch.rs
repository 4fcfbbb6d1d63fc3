//! One pass of a batch through the producer.

use std::{collections::HashSet, sync::Arc, time::Duration};

use rdkafka::{
    error::KafkaError,
    producer::{DeliveryFuture, FutureRecord, future_producer::OwnedDeliveryResult},
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    producer::{KafkaProducer, Life},
    refusal::{is_about_content, is_full, refusal},
    wire,
};
use crate::broker::{Acknowledgement, OutgoingMessage, SendError};

/// How long messages that were taken back may take to say so.
const PURGE_PATIENCE: Duration = Duration::from_secs(5);

/// A batch under way. Places are in the messages' order.
pub(super) struct Batch<'a> {
    producer: &'a KafkaProducer,
    life: Result<Arc<Life>, KafkaError>,
    deadline: Instant,
    places: Vec<Place<'a>>,
    /// The keys of which a message was refused.
    refused: HashSet<&'a [u8]>,
    /// All places before this one are settled.
    settled: usize,
}

struct Place<'a> {
    key: Option<&'a [u8]>,
    state: State,
}

enum State {
    UnderWay(DeliveryFuture),
    Over(Outcome),
}

/// What became of a message in one pass.
pub(super) enum Outcome {
    Settled(Result<Acknowledgement, SendError>),
    /// Refused for what is in it, or in a message beside it.
    Suspect(SendError),
}

impl Outcome {
    pub(super) fn is_suspect(&self) -> bool {
        matches!(self, Self::Suspect(_))
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        matches!(self, Self::Settled(Ok(_)))
    }

    pub(super) fn into_result(self) -> Result<Acknowledgement, SendError> {
        match self {
            Self::Settled(result) => result,
            Self::Suspect(refusal) => Err(refusal),
        }
    }
}

impl<'a> Batch<'a> {
    pub(super) fn new(producer: &'a KafkaProducer, deadline: Instant) -> Self {
        let life = producer.life();
        Self { producer, life, deadline, places: Vec::new(), refused: HashSet::new(), settled: 0 }
    }

    /// Goes on with a fresh client if this one is over. Only when nothing is under way, or a later message of a key
    /// could overtake an earlier one.
    pub(super) fn renew_life(&mut self) {
        self.life = self.producer.life();
    }

    pub(super) async fn enqueue(&mut self, message: &'a OutgoingMessage) {
        let key = message.envelope.key.as_deref();
        let state = loop {
            if key.is_some_and(|key| self.refused.contains(key)) {
                break State::Over(Outcome::Settled(Err(SendError::Held)));
            }
            match self.hand_in(message) {
                Ok(delivery) => break State::UnderWay(delivery),
                // Room comes with acknowledgements.
                Err(error) if is_full(&error) && self.settle_next().await => {}
                Err(error) => {
                    self.refused.extend(key);
                    break State::Over(Outcome::Settled(Err(refusal(&error))));
                }
            }
        };
        self.places.push(Place { key, state });
    }

    fn hand_in(&self, message: &OutgoingMessage) -> Result<DeliveryFuture, KafkaError> {
        let life = self.life.as_ref().map_err(KafkaError::clone)?;
        let record = FutureRecord::<[u8], [u8]> {
            topic: &message.topic,
            partition: None,
            payload: message.envelope.payload.as_deref(),
            key: message.envelope.key.as_deref(),
            timestamp: None,
            headers: Some(wire::outgoing_headers(message)),
        };
        life.client()?.send_result(record).map_err(|(error, _)| error)
    }

    /// Waits for the first message that is still under way. False if there is none.
    pub(super) async fn settle_next(&mut self) -> bool {
        while let Some(place) = self.places.get_mut(self.settled) {
            if let State::UnderWay(delivery) = &mut place.state {
                let answer = match timeout_at(self.deadline, &mut *delivery).await {
                    Ok(answer) => answer.ok(),
                    Err(_) => {
                        self.end_life();
                        self.purged().await
                    }
                };
                let outcome = self.judge(answer);
                if let Some(place) = self.places.get_mut(self.settled) {
                    place.state = State::Over(outcome);
                }
                self.settled += 1;
                return true;
            }
            self.settled += 1;
        }
        false
    }

    /// What a message says that was taken back.
    async fn purged(&mut self) -> Option<OwnedDeliveryResult> {
        match &mut self.places.get_mut(self.settled)?.state {
            State::UnderWay(delivery) => timeout(PURGE_PATIENCE, delivery).await.ok()?.ok(),
            State::Over(_) => None,
        }
    }

    /// A refusal that follows another one of its key is that one's doing.
    fn judge(&mut self, answer: Option<OwnedDeliveryResult>) -> Outcome {
        let error = match answer {
            Some(Ok(delivery)) => {
                let acknowledgement =
                    Acknowledgement { partition: Some(delivery.partition), offset: Some(delivery.offset) };
                return Outcome::Settled(Ok(acknowledgement));
            }
            Some(Err((error, _))) => error,
            None => KafkaError::Canceled,
        };
        if self.life.as_ref().is_ok_and(|life| life.is_over()) {
            self.end_life();
        }
        let key = self.places.get(self.settled).and_then(|place| place.key);
        match key {
            Some(key) if !self.refused.insert(key) => Outcome::Settled(Err(SendError::Held)),
            _ if is_about_content(&error) => Outcome::Suspect(refusal(&error)),
            _ => Outcome::Settled(Err(refusal(&error))),
        }
    }

    fn end_life(&self) {
        if let Ok(life) = &self.life {
            self.producer.end(life);
        }
    }

    pub(super) fn outcomes(self) -> Vec<Outcome> {
        self.places
            .into_iter()
            .map(|place| match place.state {
                State::Over(outcome) => outcome,
                State::UnderWay(_) => Outcome::Settled(Err(refusal(&KafkaError::Canceled))),
            })
            .collect()
    }
}
