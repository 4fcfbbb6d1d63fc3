//! Taking back what a dead instance had claimed.

use diesel::{
    QueryResult,
    sql_types::{BigInt, Bool, Integer, Text},
    sqlite::SqliteConnection,
};

use super::{
    super::lease::fence,
    dead_letter,
    delivery::{DeliveryRow, DeliverySql},
    queue::{self, Open},
    settle::next_number,
};
use crate::{
    clock::Timestamp,
    error::Result,
    store::{ClaimToken, Delivery, InboxState, LogId, RescueRequest},
    stores::{abandoned, schema::UtcTimestamp},
};

pub(super) fn rescue(connection: &mut SqliteConnection, request: &RescueRequest) -> Result<u32> {
    fence(connection, &request.instance)?;
    let claims: Vec<(i64, i64, i64, Timestamp)> = load!(
        connection,
        "SELECT token, first_id, last_id, created_at FROM claim WHERE instance_id = ?1 ORDER BY token" =>
            (BigInt, BigInt, BigInt, UtcTimestamp),
        Text = request.instance.as_str()
    )?;
    let mut rescued = 0;
    for (token, first, last, claimed_at) in claims {
        let claim = DeadClaim { token: ClaimToken(token), range: (first, last), claimed_at };
        for row in claim.rows(connection)? {
            take_back(connection, request, &claim, &row)?;
            rescued += 1;
        }
        execute!(connection, "DELETE FROM claim WHERE token = ?1", BigInt = token)?;
    }
    failpoint!("takeover.written");
    Ok(rescued)
}

/// A claim whose instance is gone.
struct DeadClaim {
    token: ClaimToken,
    range: (LogId, LogId),
    claimed_at: Timestamp,
}

impl DeadClaim {
    /// Its unsettled rows.
    fn rows(&self, connection: &mut SqliteConnection) -> QueryResult<Vec<Orphan>> {
        let rows: Vec<(LogId, i32, bool)> = load!(
            connection,
            "SELECT id, 0, 0 FROM event_consumption_log
             WHERE id BETWEEN ?1 AND ?2 AND status = 'PROCESSING'
                 AND NOT EXISTS (SELECT 1 FROM inbox_queue WHERE consumption_id = id)
             UNION ALL
             SELECT consumption_id, abandoned_count, state = 'started' FROM inbox_queue WHERE claim_token = ?3
             ORDER BY 1" => (BigInt, Integer, Bool),
            BigInt = self.range.0,
            BigInt = self.range.1,
            BigInt = self.token.0
        )?;
        Ok(rows.into_iter().map(|(id, abandoned, started)| Orphan { id, abandoned, started }).collect())
    }
}

/// A row that a dead instance had claimed.
struct Orphan {
    id: LogId,
    /// How often its process died.
    abandoned: i32,
    /// Whether its handler is known to have begun.
    started: bool,
}

impl Orphan {
    /// Whether this death is charged to it: a suspect that was not begun is innocent.
    fn is_charged(&self) -> bool {
        self.started || self.abandoned == 0
    }
}

fn take_back(
    connection: &mut SqliteConnection,
    request: &RescueRequest,
    claim: &DeadClaim,
    orphan: &Orphan,
) -> QueryResult<()> {
    let id = orphan.id;
    let row: Option<DeliveryRow> = first!(
        connection,
        concat!(
            "SELECT ",
            delivery_columns!(),
            " FROM event_consumption_log WHERE id = ?1 AND status = 'PROCESSING'"
        ) => DeliverySql,
        BigInt = id
    )?;
    let Some(row) = row else { return Ok(()) };
    let (group, service) = (row.group.clone(), row.service.clone());
    let abandoned = orphan.abandoned.saturating_add(i32::from(orphan.is_charged()));
    let delivery = row.into_delivery(claim.token, abandoned);
    if guard!("rescue.attempt", orphan.is_charged(), without false) {
        record_attempt(connection, request, claim, &delivery)?;
    }
    let state = if delivery.abandoned_count >= request.max_abandoned {
        let error = abandoned::reason(delivery.abandoned_count);
        give_up(connection, id, &error, request.now)?;
        dead_letter::stage(connection, &abandoned::dead_letter(&delivery, &group, &service, request))?;
        InboxState::Review
    } else {
        receive_again(connection, id, request.now)?;
        if follows_another(connection, &group, &delivery)? { InboxState::Held } else { InboxState::Waiting }
    };
    let open = Open {
        id,
        group: &group,
        listener: &delivery.listener,
        topic: &delivery.topic,
        partition: delivery.partition,
        key_hash: delivery.key_hash,
        state,
        due_at: request.now,
        abandoned,
    };
    queue::open(connection, &open)
}

/// Whether an earlier row of its key is open.
fn follows_another(connection: &mut SqliteConnection, group: &str, delivery: &Delivery) -> QueryResult<bool> {
    let Some(key_hash) = delivery.key_hash else { return Ok(false) };
    let earlier: Option<LogId> = first!(
        connection,
        "SELECT consumption_id FROM inbox_queue
         WHERE consumer_group = ?1 AND handler_name = ?2 AND key_hash = ?3 AND consumption_id < ?4
             AND state <> 'review'
         LIMIT 1" => BigInt,
        Text = group,
        Text = delivery.listener.as_str(),
        BigInt = key_hash,
        BigInt = delivery.id
    )?;
    Ok(earlier.is_some())
}

fn receive_again(connection: &mut SqliteConnection, id: LogId, now: Timestamp) -> QueryResult<()> {
    execute!(
        connection,
        "UPDATE event_consumption_log SET status = 'RECEIVED', updated_at = ?2
               WHERE id = ?1 AND status = 'PROCESSING'",
        BigInt = id,
        UtcTimestamp = now
    )
    .map(drop)
}

fn give_up(connection: &mut SqliteConnection, id: LogId, error: &str, now: Timestamp) -> QueryResult<()> {
    execute!(
        connection,
        "UPDATE event_consumption_log
               SET status = 'FAILED_MAX_RETRY', error_message = ?2, processed_at = ?3, updated_at = ?3
               WHERE id = ?1 AND status = 'PROCESSING'",
        BigInt = id,
        Text = error,
        UtcTimestamp = now
    )
    .map(drop)
}

fn record_attempt(
    connection: &mut SqliteConnection,
    request: &RescueRequest,
    claim: &DeadClaim,
    delivery: &Delivery,
) -> QueryResult<()> {
    let number = next_number(connection, delivery.id)?;
    let lasted = request.now.since(claim.claimed_at);
    execute!(
        connection,
        "INSERT INTO event_attempt (consumption_id, event_id, attempt_number, handler_name, instance_id, started_at,
             completed_at, status, error_message, processing_time_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'ABANDONED', 'the process died, or lost its lease', ?8)",
        BigInt = delivery.id,
        Text = delivery.envelope.event_id.as_str(),
        Integer = number,
        Text = delivery.listener.as_str(),
        Text = request.instance.as_str(),
        UtcTimestamp = claim.claimed_at,
        UtcTimestamp = request.now,
        BigInt = i64::try_from(lasted.as_millis()).unwrap_or(i64::MAX)
    )?;
    Ok(())
}
