//! Taking back what a dead instance had claimed.

use std::collections::HashSet;

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text},
};
use diesel_async::AsyncPgConnection;
use futures_util::try_join;

use super::{
    super::{
        PostgresStore, lease, outbox,
        pool::{Batch, Retries, Unit},
        statement::Statement,
    },
    attempt::{self, NewAttempt},
    change::{self, Change, LastError},
    delivery::{DeliveryRow, DeliverySql},
    queue::{self, Back, Open},
};
use crate::{
    clock::Timestamp,
    error::Result,
    store::{AttemptStatus, ClaimToken, ConsumptionStatus, InboxState, LogId, RescueRequest, StagedEvent},
    stores::{abandoned, schema::UtcTimestamp},
};

/// What an ABANDONED attempt says.
const ERROR: &str = "the process died, or lost its lease";

pub(super) async fn rescue(store: &PostgresStore, request: &RescueRequest) -> Result<u32> {
    let mut retries = Retries::new();
    loop {
        match attempt(store, request).await {
            Err(error) if retries.again(&error).await => {}
            result => return result,
        }
    }
}

/// One transaction. The instance goes first, so that it claims nothing more; then its claims: whoever still settles
/// under one has it locked, and is waited for.
async fn attempt(store: &PostgresStore, request: &RescueRequest) -> Result<u32> {
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    let instance = &request.instance;
    let ((), (), claims) =
        try_join!(connection.begin(), lease::fence(connection, instance), take_claims(connection, instance))?;
    if claims.is_empty() {
        unit.commit().await?;
        return Ok(0);
    }
    let lost: Vec<_> = unsettled(connection, &claims).await?.into_iter().map(Lost::from).collect();
    let (given_up, taken_back): (Vec<_>, Vec<_>) = lost.iter().partition(|lost| lost.times() >= request.max_abandoned);
    let attempts: Vec<_> = lost.iter().filter(|lost| lost.charged).map(|lost| lost.attempt(request.now)).collect();
    let attempts = guard!("rescue.attempt", attempts, without Vec::new());
    let letters = letters(connection, &given_up, request).await?;
    let letters: Vec<_> = letters.iter().collect();
    let changes: Vec<_> = changes(&taken_back, &given_up, request.now);
    let behind = behind(connection, &lost).await?;
    let (open, back) = open_work(&lost, &behind, request);
    try_join!(
        attempt::insert(connection, &request.instance, &attempts),
        change::change(connection, &changes),
        queue::open(connection, &open),
        queue::give_back(connection, &back),
        outbox::stage(connection, &letters),
    )?;
    failpoint!("takeover.written");
    unit.commit().await?;
    Ok(u32::try_from(lost.len()).unwrap_or(u32::MAX))
}

/// The claims of an instance, which end here.
async fn take_claims(connection: &AsyncPgConnection, instance: &str) -> QueryResult<Vec<Claim>> {
    let sql = "DELETE FROM claim WHERE instance_id = $1 RETURNING token, first_id, last_id, created_at";
    Statement::<(BigInt, BigInt, BigInt, UtcTimestamp)>::new(sql).bind::<Text, _>(instance).rows(connection).await
}

/// Token, range and time of a claim.
type Claim = (i64, LogId, LogId, Timestamp);

/// The rows of the claims that nobody has settled, in the order of their ids: those of the range without a row of open
/// work, and those whose row of open work names the token.
async fn unsettled(connection: &AsyncPgConnection, claims: &[Claim]) -> QueryResult<Vec<LostRow>> {
    let sql = "\
        SELECT l.id, l.event_id, l.consumer_group, l.handler_name, l.topic, l.partition_number, l.key_hash,
            l.retry_count, c.token, c.created_at, NULL::integer, false
        FROM unnest($1, $2, $3, $4) AS c (token, first_id, last_id, created_at),
            LATERAL (
                SELECT * FROM event_consumption_log WHERE id BETWEEN c.first_id AND c.last_id
                ORDER BY id LIMIT c.last_id - c.first_id + 1) l
        WHERE l.status = 'PROCESSING' AND NOT EXISTS (SELECT FROM inbox_queue q WHERE q.consumption_id = l.id)
        UNION ALL
        SELECT l.id, l.event_id, l.consumer_group, l.handler_name, l.topic, l.partition_number, l.key_hash,
            l.retry_count, c.token, c.created_at, q.abandoned_count,
            q.state = 'started'
        FROM unnest($1, $2, $3, $4) AS c (token, first_id, last_id, created_at)
        JOIN inbox_queue q ON q.claim_token = c.token,
            LATERAL (SELECT * FROM event_consumption_log WHERE id = q.consumption_id LIMIT 1) l
        WHERE l.status = 'PROCESSING'
        ORDER BY 1";
    Statement::<LostSql>::new(sql)
        .bind::<Array<BigInt>, _>(claims.iter().map(|claim| claim.0).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(claims.iter().map(|claim| claim.1).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(claims.iter().map(|claim| claim.2).collect::<Vec<_>>())
        .bind::<Array<UtcTimestamp>, _>(claims.iter().map(|claim| claim.3).collect::<Vec<_>>())
        .rows(connection)
        .await
}

type LostSql = (
    BigInt,
    Text,
    Text,
    Text,
    Text,
    Nullable<Integer>,
    Nullable<BigInt>,
    Integer,
    BigInt,
    UtcTimestamp,
    Nullable<Integer>,
    Bool,
);
type LostRow =
    (LogId, String, String, String, String, Option<i32>, Option<i64>, i32, i64, Timestamp, Option<i32>, bool);

/// A row that was under way when its instance died.
struct Lost {
    id: LogId,
    event_id: String,
    group: String,
    listener: String,
    topic: String,
    partition: Option<i32>,
    key_hash: Option<i64>,
    retry_count: i32,
    token: ClaimToken,
    claimed_at: Timestamp,
    /// Whether it has a row of open work.
    queued: bool,
    /// Whether this death is charged to it: a suspect that was not begun is innocent.
    charged: bool,
    /// How often its process died, this time included if it is charged.
    abandoned: i32,
}

impl From<LostRow> for Lost {
    fn from(row: LostRow) -> Self {
        let (
            id,
            event_id,
            group,
            listener,
            topic,
            partition,
            key_hash,
            retry_count,
            token,
            claimed_at,
            before,
            started,
        ) = row;
        let charged = started || before.unwrap_or(0) == 0;
        Self {
            id,
            event_id,
            group,
            listener,
            topic,
            partition,
            key_hash,
            retry_count,
            token: ClaimToken(token),
            claimed_at,
            queued: before.is_some(),
            charged,
            abandoned: before.unwrap_or(0).saturating_add(i32::from(charged)),
        }
    }
}

impl Lost {
    fn attempt(&self, now: Timestamp) -> NewAttempt<'_> {
        NewAttempt {
            id: self.id,
            event_id: self.event_id.as_str().into(),
            listener: &self.listener,
            repeated: true,
            started_at: self.claimed_at,
            completed_at: now,
            status: AttemptStatus::Abandoned,
            error: Some(ERROR.into()),
            stack_trace: None,
            duration_ms: i64::try_from(now.since(self.claimed_at).as_millis()).unwrap_or(i64::MAX),
            delay_ms: None,
        }
    }

    fn times(&self) -> u32 {
        u32::try_from(self.abandoned).unwrap_or(u32::MAX)
    }
}

fn changes<'a>(taken_back: &[&'a Lost], given_up: &[&'a Lost], now: Timestamp) -> Vec<Change<'a>> {
    let change = |lost: &'a Lost| Change {
        id: lost.id,
        status: ConsumptionStatus::Received,
        retry_count: lost.retry_count,
        processing_time_ms: None,
        error: LastError::Kept,
        processed_at: None,
        at: now,
    };
    let give_up = |lost: &'a Lost| Change {
        status: ConsumptionStatus::FailedMaxRetry,
        error: LastError::Of(Some(abandoned::reason(lost.times()).into()), None),
        processed_at: Some(now),
        ..change(lost)
    };
    let taken_back = taken_back.iter().map(|lost| change(lost));
    taken_back.chain(given_up.iter().map(|lost| give_up(lost))).collect()
}

/// Those that follow an earlier row of their key that is open: of the rows lost, or of those that wait.
async fn behind(connection: &AsyncPgConnection, lost: &[Lost]) -> QueryResult<HashSet<LogId>> {
    let keyed: Vec<_> = lost.iter().filter_map(|row| Some((row, row.key_hash?))).collect();
    let mut heads = HashSet::new();
    let mut behind: HashSet<_> = keyed
        .iter()
        .filter(|(row, key_hash)| !heads.insert((&row.group, &row.listener, *key_hash)))
        .map(|(row, _)| row.id)
        .collect();
    let sql = "\
        SELECT l.id FROM unnest($1, $2, $3, $4) AS l (id, consumer_group, handler_name, key_hash)
        WHERE EXISTS (
            SELECT FROM inbox_queue q
            WHERE q.consumer_group = l.consumer_group AND q.handler_name = l.handler_name
                AND q.key_hash = l.key_hash AND q.consumption_id < l.id AND q.state <> 'review')";
    let waited_for: Vec<LogId> = Statement::<BigInt>::new(sql)
        .bind::<Array<BigInt>, _>(keyed.iter().map(|(row, _)| row.id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(keyed.iter().map(|(row, _)| row.group.as_str()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(keyed.iter().map(|(row, _)| row.listener.as_str()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(keyed.iter().map(|(_, key_hash)| *key_hash).collect::<Vec<_>>())
        .rows(connection)
        .await?;
    behind.extend(waited_for);
    Ok(behind)
}

/// Rows of open work: to run again, behind their key or at once, or to review.
fn open_work<'a>(lost: &'a [Lost], behind: &HashSet<LogId>, request: &RescueRequest) -> (Vec<Open<'a>>, Vec<Back>) {
    let (mut open, mut back) = (Vec::new(), Vec::new());
    for row in lost {
        let state = if row.times() >= request.max_abandoned {
            InboxState::Review
        } else if behind.contains(&row.id) {
            InboxState::Held
        } else {
            InboxState::Waiting
        };
        if row.queued {
            back.push(Back {
                id: row.id,
                token: row.token,
                state,
                due_at: request.now,
                abandoned: i32::from(row.charged),
            });
        } else {
            open.push(Open {
                id: row.id,
                group: &row.group,
                listener: &row.listener,
                topic: &row.topic,
                partition: row.partition,
                key_hash: row.key_hash,
                state,
                due_at: request.now,
                abandoned: row.abandoned,
            });
        }
    }
    (open, back)
}

/// The dead letters of rows that are given up.
async fn letters(
    connection: &AsyncPgConnection,
    given_up: &[&Lost],
    request: &RescueRequest,
) -> QueryResult<Vec<StagedEvent>> {
    if given_up.is_empty() {
        return Ok(Vec::new());
    }
    let sql = concat!(
        "SELECT ",
        delivery_columns!(),
        " FROM event_consumption_log l WHERE l.id = ANY ($1) AND l.id BETWEEN $2 AND $3"
    );
    let ids: Vec<_> = given_up.iter().map(|lost| lost.id).collect();
    let rows: Vec<DeliveryRow> = Statement::<DeliverySql>::new(sql)
        .bind::<Array<BigInt>, _>(ids.as_slice())
        .bounds(&ids)
        .rows(connection)
        .await?;
    let letter = |row: DeliveryRow| {
        let lost = given_up.iter().find(|lost| lost.id == row.id)?;
        let (group, service) = (row.group.clone(), row.service.clone());
        let delivery = row.into_delivery(lost.token, lost.abandoned);
        Some(abandoned::dead_letter(&delivery, &group, &service, request))
    };
    Ok(rows.into_iter().filter_map(letter).collect())
}
