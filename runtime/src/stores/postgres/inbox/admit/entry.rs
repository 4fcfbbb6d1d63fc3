//! An arrival on its way in.

use std::borrow::Cow;

use crate::{
    envelope::storable,
    store::{Admission, Arrival, ConsumptionStatus, InboxState, LogId, Outcome, Placement},
    stores::{postgres::inbox::queue::Open, unwanted},
};

/// An arrival, and what is known about it so far.
pub(super) struct Entry<'a> {
    /// The id that is reserved for its row.
    pub(super) id: LogId,
    pub(super) arrival: &'a Arrival,
    pub(super) checksum: i64,
    pub(super) fate: Fate,
}

/// What an arrival turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The first of its id, as far as is known.
    Fresh,
    /// Seen before, with the same content.
    Duplicate { of: LogId },
    /// Seen before, with other content.
    Conflict { of: LogId },
    /// Seen before when nobody wanted it: that record is opened again.
    Reopened { first: LogId },
}

impl<'a> Entry<'a> {
    pub(super) fn new(id: LogId, arrival: &'a Arrival) -> Self {
        Self { id, arrival, checksum: arrival.envelope.checksum(), fate: Fate::Fresh }
    }

    /// It was seen before, by the record `of`.
    pub(super) fn again(&mut self, of: LogId, checksum: i64) {
        self.fate = if checksum == self.checksum { Fate::Duplicate { of } } else { Fate::Conflict { of } };
    }

    pub(super) fn is_invalid(&self) -> bool {
        matches!(self.arrival.placement, Placement::Invalid(_))
    }

    /// Whether it enters a key of its own. What is malformed may come again corrected, under the same id.
    pub(super) fn is_keyed(&self) -> bool {
        self.fate == Fate::Fresh && !self.is_invalid()
    }

    /// Whether it is claimed, to run now.
    pub(super) fn runs(&self) -> bool {
        self.fate == Fate::Fresh && self.arrival.placement == Placement::Run
    }

    /// Whether nobody wants it.
    pub(super) fn is_unwanted(&self) -> bool {
        self.fate == Fate::Fresh && self.arrival.placement == Placement::NoHandler
    }

    /// The status of its row; `None` when it has none of its own.
    pub(super) fn status(&self) -> Option<ConsumptionStatus> {
        match (self.fate, &self.arrival.placement) {
            (Fate::Reopened { .. }, _) => None,
            (Fate::Duplicate { .. }, _) => Some(ConsumptionStatus::Duplicate),
            (Fate::Conflict { .. }, _) | (Fate::Fresh, Placement::Invalid(_)) => Some(ConsumptionStatus::Invalid),
            (Fate::Fresh, Placement::Run) => Some(ConsumptionStatus::Processing),
            (Fate::Fresh, Placement::Wait | Placement::Hold) => Some(ConsumptionStatus::Received),
            (Fate::Fresh, Placement::NoHandler) => Some(ConsumptionStatus::NoHandler),
        }
    }

    /// Why it is not handled: INVALID, or wanted by nobody in the group.
    pub(super) fn problem(&self, group: &str) -> Option<Cow<'a, str>> {
        match (self.fate, &self.arrival.placement) {
            (Fate::Conflict { .. }, _) => Some("same id, other content".into()),
            (Fate::Fresh, Placement::Invalid(reason)) => Some(storable(reason)),
            (Fate::Fresh, Placement::NoHandler) => {
                Some(storable(&unwanted::reason(&self.arrival.event_type, group)).into_owned().into())
            }
            _ => None,
        }
    }

    pub(super) fn metadata(&self) -> Option<String> {
        match self.fate {
            Fate::Duplicate { of } => Some(format!(r#"{{"duplicate_of":{of}}}"#)),
            Fate::Conflict { of } => Some(format!(r#"{{"conflicts_with":{of}}}"#)),
            Fate::Fresh | Fate::Reopened { .. } => None,
        }
    }

    /// Whether its row keeps payload and headers; a duplicate's first record has them.
    pub(super) fn keeps_content(&self) -> bool {
        !matches!(self.fate, Fate::Duplicate { .. })
    }

    /// Its row of open work, if it has one.
    pub(super) fn open(&self, batch: &'a Admission) -> Option<Open<'a>> {
        let (id, state) = match (self.fate, &self.arrival.placement) {
            (Fate::Reopened { first }, _) => (first, InboxState::Waiting),
            (Fate::Conflict { .. }, _) | (Fate::Fresh, Placement::Invalid(_)) => (self.id, InboxState::Review),
            (Fate::Fresh, Placement::Wait) => (self.id, InboxState::Waiting),
            (Fate::Fresh, Placement::Hold) => (self.id, InboxState::Held),
            (Fate::Duplicate { .. }, _) | (Fate::Fresh, Placement::Run | Placement::NoHandler) => return None,
        };
        Some(Open {
            id,
            group: &batch.group,
            listener: &self.arrival.listener,
            topic: &self.arrival.topic,
            partition: self.arrival.partition,
            key_hash: self.arrival.key_hash,
            state,
            due_at: batch.now,
            abandoned: 0,
        })
    }

    pub(super) fn outcome(&self) -> Outcome {
        let id = self.id;
        match (self.fate, &self.arrival.placement) {
            (Fate::Duplicate { of }, _) => Outcome::Duplicate { id, of },
            (Fate::Conflict { of }, _) => Outcome::Conflict { id, of },
            (Fate::Reopened { first }, _) => Outcome::Reopened(first),
            (Fate::Fresh, Placement::Run) => Outcome::Run(id),
            (Fate::Fresh, Placement::Wait | Placement::Hold) => Outcome::Parked(id),
            (Fate::Fresh, Placement::NoHandler) => Outcome::NoHandler(id),
            (Fate::Fresh, Placement::Invalid(_)) => Outcome::Invalid(id),
        }
    }
}
