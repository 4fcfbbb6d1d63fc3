//! Admission: messages become rows, in one transaction, before the broker is told.
//!
//! One arrival is made for each message and each listener that wants it; a message that nobody wants is one arrival
//! too. What arrives is placed by the lanes, written with its claim, and only then offered to the lanes. The
//! database being away delays admission and nothing else; a batch that it refuses for good is split until the message
//! that it refuses stands alone, and that one is kept as INVALID.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Group,
    group::Runner,
    lanes::{Place, Placing},
};
use crate::{
    broker::{IncomingMessage, Position},
    clock::Timestamp,
    envelope::{Envelope, IdSource, MAX_NAME_BYTES, storable},
    error::{Error, ErrorKind, Result, chain},
    publish::run_to_the_end,
    store::{
        Admission, Admitted, Arrival, ClaimToken, ConsumptionStatus, Delivery, LogId, Outcome, Placement,
        SharedEnvelope,
    },
};

/// The shortest and the longest pause before a batch is offered again to a database that is away.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// Admits messages, and returns the positions of which the broker is to be told. A batch whose lease is gone is
/// dropped: the partition's new owner gets its messages.
pub(crate) async fn admit(group: &Arc<Group>, messages: Vec<IncomingMessage>) -> Result<Vec<Position>> {
    let _in_hand = group.taking_in(messages.len());
    failpoint!("admit.delivered");
    let mut positions = Vec::new();
    let mut parts = vec![messages];
    while let Some(mut part) = parts.pop() {
        let plan = Plan::of(group, &part);
        match plan.write(group).await {
            Ok(admitted) => {
                plan.offer(group, admitted);
                positions.extend(part.into_iter().map(|message| message.position));
            }
            Err(error) if error.kind() == ErrorKind::StaleClaim => return Err(error),
            Err(_) if part.len() > 1 => {
                let later = part.split_off(part.len() / 2);
                parts.push(later);
                parts.push(part);
            }
            Err(error) => {
                keep_refused(group, &part, &error).await?;
                positions.extend(part.into_iter().map(|message| message.position));
            }
        }
    }
    Ok(positions)
}

/// The last resort for a message that the database refuses: its bytes, without what came around them.
async fn keep_refused(group: &Arc<Group>, part: &[IncomingMessage], refusal: &Error) -> Result<()> {
    let reason = format!("the database refused the message: {}", chain(refusal));
    tracing::error!(reason, "a message cannot be admitted as it is; it is kept as INVALID");
    Plan::of(group, part).stripped(&reason).write(group).await.map(|_| ())
}

/// What is to be written for some messages.
struct Plan {
    batch: Arc<Admission>,
    /// The listener's place, for each arrival that a listener wants.
    runners: Vec<Option<usize>>,
}

impl Plan {
    fn of(group: &Group, messages: &[IncomingMessage]) -> Self {
        let mut placing: Vec<_> = group.runners.iter().map(|_| Placing::default()).collect();
        let mut arrivals = Vec::with_capacity(messages.len());
        let mut runners = Vec::with_capacity(messages.len());
        for message in messages {
            let (arrival, wanting) = arrival(group, message);
            if wanting.is_empty() {
                arrivals.push(arrival);
                runners.push(None);
                continue;
            }
            for runner in wanting {
                arrivals.push(placed(&group.runners[runner], arrival.clone(), &mut placing[runner]));
                runners.push(Some(runner));
            }
        }
        let batch = Admission {
            group: group.parts.name.clone(),
            service: group.parts.service.clone(),
            instance: group.parts.instance.clone(),
            arrivals,
            positions: last_positions(messages),
            now: group.parts.clock.now(),
        };
        Self { batch: Arc::new(batch), runners }
    }

    /// The same arrivals, kept as INVALID without what came around their bytes.
    fn stripped(self, reason: &str) -> Self {
        let mut batch = Arc::unwrap_or_clone(self.batch);
        for arrival in &mut batch.arrivals {
            arrival.envelope = Arc::new(Envelope {
                headers: Vec::new(),
                correlation_id: None,
                causation_id: None,
                traceparent: None,
                content_type: None,
                ..(*arrival.envelope).clone()
            });
            arrival.placement = Placement::Invalid(storable(reason).into_owned());
        }
        Self { batch: Arc::new(batch), ..self }
    }

    /// Writes the plan, however long the database is away.
    async fn write(&self, group: &Group) -> Result<Admitted> {
        let (began, mut pause) = (Instant::now(), PAUSES.0);
        loop {
            let (store, shared) = (Arc::clone(&group.parts.store), Arc::clone(&self.batch));
            let written = run_to_the_end(async move {
                guard!("admit.position", store.admit(shared).await, without admit_after_positions(&store, &shared).await)
            })
            .await;
            failpoint!("admit.unknown");
            match written {
                Err(error) if error.is_retryable() && !group.stopping.is_cancelled() => {
                    tracing::warn!(
                        error = chain(&error),
                        events = self.batch.arrivals.len(),
                        "intake waits for the database"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                result => {
                    group.metrics.admitted(began.elapsed());
                    return result;
                }
            }
        }
    }

    /// Hands what may run to the lanes, and tells metrics and logs of the rest.
    fn offer(self, group: &Arc<Group>, admitted: Admitted) {
        let runs = admitted.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Run(_))).count();
        group.ledger.claimed(admitted.token, runs);
        let mut touched = HashSet::new();
        let Admission { arrivals, now, .. } = Arc::unwrap_or_clone(self.batch);
        for ((arrival, runner), outcome) in arrivals.into_iter().zip(self.runners).zip(admitted.outcomes) {
            announce(group, &arrival, runner, &outcome);
            let Some(runner) = runner else { continue };
            match outcome {
                Outcome::Run(id) => {
                    let Some(token) = admitted.token else { continue };
                    touched.insert(runner);
                    group.offer(runner, delivery(arrival, id, token, now));
                }
                Outcome::Parked(_) => parked(group, runner, &arrival),
                Outcome::Reopened(_) => group.due.notify_one(),
                _ => {}
            }
        }
        for runner in touched {
            group.pump(runner);
        }
    }
}

/// As it would be without the guard: the positions move in a transaction of their own, before the events are on record.
#[cfg(feature = "failpoints")]
async fn admit_after_positions(store: &crate::store::SharedStore, batch: &Admission) -> Result<Admitted> {
    let positions = Admission { arrivals: Vec::new(), ..batch.clone() };
    store.admit(Arc::new(positions)).await?;
    store.admit(Arc::new(Admission { positions: Vec::new(), ..batch.clone() })).await
}

/// One arrival for a message, not placed yet, and the listeners that want it.
fn arrival(group: &Group, message: &IncomingMessage) -> (Arrival, Vec<usize>) {
    let runners = group.topics.get(&message.topic).map_or(&[][..], Vec::as_slice);
    let event_type = event_type(group, message, runners);
    let wants = |runner: &usize| group.runners[*runner].listener.wants(&message.topic, event_type.as_deref());
    let wanting = runners.iter().copied().filter(wants).collect();
    let (partition, offset) = message.position.coordinates();
    let arrival = Arrival {
        envelope: identified(group, message, runners),
        topic: message.topic.clone(),
        partition,
        offset,
        listener: String::new(),
        key_hash: None,
        replay_id: String::new(),
        max_retries: 0,
        placement: Placement::NoHandler,
        event_type: event_type.unwrap_or_default(),
    };
    (arrival, wanting)
}

/// The arrival as this listener's, placed unless it turns out to be a duplicate.
fn placed(runner: &Runner, mut arrival: Arrival, placing: &mut Placing) -> Arrival {
    arrival.listener.clone_from(&runner.listener.name);
    arrival.max_retries = runner.listener.options.retries;
    let is_open = runner.is_open();
    let lanes = runner.lanes();
    arrival.key_hash = lanes.key_of(arrival.envelope.key_hash());
    arrival.placement = match placing.place(&lanes, arrival.key_hash, is_open) {
        Place::Run => Placement::Run,
        Place::Wait => Placement::Wait,
        Place::Hold => Placement::Hold,
    };
    arrival
}

/// A row was committed that waits in the database.
fn parked(group: &Arc<Group>, runner: usize, arrival: &Arrival) {
    match (arrival.key_hash, &arrival.placement) {
        (Some(key), Placement::Hold) => {
            let upshot = group.runners[runner].lanes().held(key);
            group.follow_up(runner, upshot);
        }
        (Some(key), _) => group.runners[runner].lanes().parked(key),
        (None, _) => {}
    }
    group.due.notify_one();
}

/// The message's envelope, with the id from its payload where the message brings none and the payload has one.
fn identified(group: &Group, message: &IncomingMessage, runners: &[usize]) -> SharedEnvelope {
    if message.envelope.id_source == IdSource::Publisher {
        return Arc::clone(&message.envelope);
    }
    let payload = message.envelope.payload.as_deref();
    let id = payload.and_then(|payload| {
        let mut identify = runners.iter().filter_map(|runner| group.runners[*runner].listener.declaration.identify);
        identify.find_map(|identify| identify(payload))
    });
    match id.filter(|id| !id.is_empty() && id.len() <= MAX_NAME_BYTES && !id.contains('\0')) {
        Some(id) => {
            let mut envelope = (*message.envelope).clone();
            envelope.event_id = id;
            envelope.id_source = IdSource::Publisher;
            Arc::new(envelope)
        }
        None => Arc::clone(&message.envelope),
    }
}

/// The message's type; where it does not say, the only one that the group handles on the topic.
fn event_type(group: &Group, message: &IncomingMessage, runners: &[usize]) -> Option<String> {
    if let Some(event_type) = &message.envelope.event_type {
        return Some(event_type.clone());
    }
    let mut types = runners.iter().map(|runner| group.runners[*runner].listener.event_type.as_str());
    let only = types.next().filter(|first| *first != "*")?;
    types.all(|other| other == only).then(|| only.to_owned())
}

/// The last position of each partition: an offset covers those before it.
fn last_positions(messages: &[IncomingMessage]) -> Vec<Position> {
    let mut last: HashMap<(&str, i32), &Position> = HashMap::new();
    for message in messages {
        if let Position::Offset { partition, lease: Some(_), .. } = &message.position {
            last.insert((&partition.topic, partition.partition), &message.position);
        }
    }
    let mut positions: Vec<_> = last.into_iter().collect();
    positions.sort_by_key(|(partition, _)| *partition);
    positions.into_iter().map(|(_, position)| position.clone()).collect()
}

fn delivery(arrival: Arrival, id: LogId, token: ClaimToken, received_at: Timestamp) -> Delivery {
    Delivery {
        id,
        token,
        envelope: with_type(arrival.envelope, arrival.event_type),
        topic: arrival.topic,
        partition: arrival.partition,
        offset: arrival.offset,
        listener: arrival.listener,
        key_hash: arrival.key_hash,
        retry_count: 0,
        redrive_count: 0,
        abandoned_count: 0,
        replay_id: arrival.replay_id,
        received_at,
    }
}

/// The envelope with the type by which it was matched.
fn with_type(envelope: SharedEnvelope, event_type: String) -> SharedEnvelope {
    if envelope.event_type.is_some() {
        return envelope;
    }
    let mut typed = (*envelope).clone();
    typed.event_type = Some(event_type);
    Arc::new(typed)
}

/// Tells metrics and logs what became of an arrival. What needs a person is an error.
fn announce(group: &Group, arrival: &Arrival, runner: Option<usize>, outcome: &Outcome) {
    let (event_id, topic, listener) = (&arrival.envelope.event_id, &arrival.topic, &arrival.listener);
    let Some(runner) = runner else {
        group.metrics.no_handler();
        tracing::debug!(event_id, topic, event_type = arrival.event_type, "no listener of the group wants the event");
        return;
    };
    let metrics = &group.runners[runner].metrics;
    match outcome {
        Outcome::Duplicate { of, .. } => {
            metrics.reached(topic, ConsumptionStatus::Duplicate);
            tracing::debug!(event_id, topic, listener, first = of, "seen before");
        }
        Outcome::Conflict { of, .. } => {
            metrics.reached(topic, ConsumptionStatus::Invalid);
            tracing::error!(
                event_id,
                topic,
                listener,
                first = of,
                "an event with this id was seen before with other content; it is kept as INVALID"
            );
        }
        Outcome::Invalid(_) => metrics.reached(topic, ConsumptionStatus::Invalid),
        Outcome::Parked(_) | Outcome::Reopened(_) => metrics.reached(topic, ConsumptionStatus::Received),
        Outcome::Run(_) => metrics.reached(topic, ConsumptionStatus::Processing),
        Outcome::NoHandler(_) => {}
    }
    if arrival.envelope.id_source == IdSource::Delivery {
        group.metrics.unidentified();
    }
}
