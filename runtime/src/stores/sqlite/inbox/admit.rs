//! Admitting a batch: identify, deduplicate, write, claim, move the position.

use diesel::{
    QueryResult,
    sql_types::{BigInt, Integer, Text},
    sqlite::SqliteConnection,
};

use super::{
    NewClaim, insert_claim,
    queue::{self, Open},
};
use crate::{
    broker::Position,
    clock::TimestampText,
    error::{Error, ErrorKind, Result},
    store::{Admission, Admitted, Arrival, ClaimToken, ConsumptionStatus, InboxState, LogId, Outcome, Placement},
    stores::schema::UtcTimestamp,
};

mod key;
mod row;

use self::{key::Seen, row::Row};

/// The arrivals get the ids from `first_id` on, in their order.
pub(super) fn admit(
    connection: &mut SqliteConnection,
    batch: &Admission,
    first_id: LogId,
    token: ClaimToken,
) -> Result<Admitted> {
    move_positions(connection, batch)?;
    let now = TimestampText::from(batch.now);
    let unwanted_known = key::any_unwanted(connection, &batch.group)?;
    let mut admitting = Admitting { connection, batch, now, unwanted_known };
    let mut outcomes = Vec::with_capacity(batch.arrivals.len());
    let mut range = None;
    for (id, arrival) in (first_id..).zip(&batch.arrivals) {
        let outcome = admitting.arrival(id, arrival)?;
        if let Outcome::Run(id) = outcome {
            range = Some((range.map_or(id, |(first, _)| first), id));
        }
        outcomes.push(outcome);
    }
    let token = range.map(|_| token);
    if let Some(token) = token {
        let (instance, group) = (&batch.instance, &batch.group);
        insert_claim(admitting.connection, &NewClaim { token, instance, group, range, now: batch.now })?;
    }
    failpoint!("admit.written");
    Ok(Admitted { token, outcomes })
}

/// A batch under way.
struct Admitting<'a> {
    connection: &'a mut SqliteConnection,
    batch: &'a Admission,
    now: TimestampText,
    /// Whether the group has keys of events that nobody wanted.
    unwanted_known: bool,
}

impl Admitting<'_> {
    fn arrival(&mut self, id: LogId, arrival: &Arrival) -> Result<Outcome> {
        let checksum = arrival.envelope.checksum();
        if let Placement::Invalid(reason) = &arrival.placement {
            return match key::find(self.connection, &self.batch.group, &arrival.listener, arrival)? {
                Some(seen) => self.again(id, arrival, checksum, seen),
                None => self.invalid(id, arrival, reason),
            };
        }
        let entered = key::enter(self.connection, &self.batch.group, arrival, checksum, id, &self.now)?;
        let entered = guard!("admit.key", entered, without true);
        if !entered {
            let seen = key::find(self.connection, &self.batch.group, &arrival.listener, arrival)?;
            let seen = seen.ok_or(diesel::result::Error::NotFound)?;
            return self.again(id, arrival, checksum, seen);
        }
        if self.unwanted_known
            && !arrival.listener.is_empty()
            && let Some(unwanted) = key::find(self.connection, &self.batch.group, "", arrival)?
        {
            return self.wanted_now(id, arrival, checksum, unwanted);
        }
        self.fresh(id, arrival)
    }

    /// The first record of its id.
    fn fresh(&mut self, id: LogId, arrival: &Arrival) -> Result<Outcome> {
        let (status, outcome) = match arrival.placement {
            Placement::Run => (ConsumptionStatus::Processing, Outcome::Run(id)),
            Placement::Wait | Placement::Hold => (ConsumptionStatus::Received, Outcome::Parked(id)),
            Placement::NoHandler => (ConsumptionStatus::NoHandler, Outcome::NoHandler(id)),
            Placement::Invalid(_) => (ConsumptionStatus::Invalid, Outcome::Invalid(id)),
        };
        let row = match arrival.placement {
            Placement::NoHandler => Row::unwanted(id, arrival, &self.batch.group),
            _ => Row::new(id, arrival, status),
        };
        self.insert(&row)?;
        match arrival.placement {
            Placement::Wait => self.open(id, arrival, InboxState::Waiting)?,
            Placement::Hold => self.open(id, arrival, InboxState::Held)?,
            Placement::NoHandler => self.unwanted_known = true,
            Placement::Run | Placement::Invalid(_) => {}
        }
        Ok(outcome)
    }

    /// An id that was seen before.
    fn again(&mut self, id: LogId, arrival: &Arrival, checksum: i64, seen: Seen) -> Result<Outcome> {
        let of = seen.consumption_id;
        if seen.checksum == checksum {
            self.insert(&Row::duplicate(id, arrival, of))?;
            return Ok(Outcome::Duplicate { id, of });
        }
        self.insert(&Row::conflict(id, arrival, of))?;
        self.open(id, arrival, InboxState::Review)?;
        Ok(Outcome::Conflict { id, of })
    }

    fn invalid(&mut self, id: LogId, arrival: &Arrival, reason: &str) -> Result<Outcome> {
        self.insert(&Row::invalid(id, arrival, reason))?;
        self.open(id, arrival, InboxState::Review)?;
        Ok(Outcome::Invalid(id))
    }

    /// An id that nobody wanted before; its key for the listener was just entered.
    fn wanted_now(&mut self, id: LogId, arrival: &Arrival, checksum: i64, unwanted: Seen) -> Result<Outcome> {
        let first = unwanted.consumption_id;
        if unwanted.checksum != checksum {
            key::remove(self.connection, &self.batch.group, &arrival.listener, arrival)?;
            return self.again(id, arrival, checksum, unwanted);
        }
        if !row::reopen(self.connection, first, arrival, &self.now)? {
            // An operator has given it up since.
            key::point_to(self.connection, &self.batch.group, arrival, first)?;
            return self.again(id, arrival, checksum, unwanted);
        }
        key::remove(self.connection, &self.batch.group, "", arrival)?;
        key::point_to(self.connection, &self.batch.group, arrival, first)?;
        self.open(first, arrival, InboxState::Waiting)?;
        Ok(Outcome::Reopened(first))
    }

    fn insert(&mut self, row: &Row<'_>) -> QueryResult<()> {
        row::insert(self.connection, self.batch, row, &self.now)
    }

    fn open(&mut self, id: LogId, arrival: &Arrival, state: InboxState) -> QueryResult<()> {
        let row = Open {
            id,
            group: &self.batch.group,
            listener: &arrival.listener,
            topic: &arrival.topic,
            partition: arrival.partition,
            key_hash: arrival.key_hash,
            state,
            due_at: self.batch.now,
            abandoned: 0,
        };
        queue::open(self.connection, &row)
    }
}

/// Moves the positions of the embedded broker, each under its lease.
fn move_positions(connection: &mut SqliteConnection, batch: &Admission) -> Result<()> {
    for position in &batch.positions {
        let Position::Offset { partition, offset, lease: Some(held) } = position else { continue };
        let standing = first!(
            connection,
            "SELECT 1 FROM lease WHERE resource = ?1 AND token = ?2 AND instance_id = ?3" => Integer,
            Text = held.lease.resource.as_str(),
            BigInt = held.lease.token,
            Text = batch.instance.as_str()
        )?;
        let Some(1) = standing else {
            return Err(Error::new(
                ErrorKind::StaleClaim,
                format!("the lease of `{}` is gone; another instance reads it now", held.lease.resource),
            ));
        };
        execute!(
            connection,
            "INSERT INTO embedded_position (consumer_group, topic, partition_number, next_offset, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE
                 SET next_offset = max(next_offset, excluded.next_offset), updated_at = excluded.updated_at",
            Text = held.group.as_str(),
            Text = partition.topic.as_str(),
            Integer = partition.partition,
            BigInt = offset.saturating_add(1),
            UtcTimestamp = batch.now
        )?;
    }
    Ok(())
}
