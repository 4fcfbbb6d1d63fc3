//! Settling attempts: each changes its record only while its claim stands.
//!
//! Written for the batch in which every claim stands: all its statements are sent together, and each says how many
//! rows it changed. When one changed too few, the batch is rolled back and settled again without the stale ones.

use std::collections::HashSet;

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, Integer, Text},
};
use diesel_async::AsyncPgConnection;
use futures_util::try_join;

use super::{
    super::{
        PostgresStore,
        columns::Column,
        pool::{Batch, Retries, Unit},
        statement::Statement,
    },
    attempt::{self, NewAttempt},
    change::{self, Change},
    queue::{self, Back, Open},
};
use crate::{
    clock::Timestamp,
    error::{Error, ErrorKind, Result},
    store::{ClaimToken, Disposition, InboxState, LogId, SettleBatch, Settlement, StagedEvent},
};

/// How often a batch is settled anew because a claim was gone, before it is given back to the caller.
const MOST_QUESTIONS: u32 = 10;

/// Settles a batch; returns the rows whose claim is gone.
pub(super) async fn settle(store: &PostgresStore, batch: &SettleBatch) -> Result<Vec<LogId>> {
    let mut retries = Retries::new();
    let mut stale = Vec::new();
    let mut settlements = once_each(batch, &mut stale);
    // Somebody else may change a row between the question whether it stands and the change: then it is asked again.
    for _ in 0..MOST_QUESTIONS {
        match attempt(store, batch, &settlements).await {
            Ok(true) => return Ok(stale),
            Ok(false) => {}
            Err(error) if is_taken(&error) => {}
            Err(error) if retries.again(&error).await => continue,
            Err(error) => return Err(error),
        }
        let standing = standing(store, &batch.instance, &settlements).await?;
        stale.extend(settlements.iter().map(|settlement| settlement.id).filter(|id| !standing.contains(id)));
        settlements.retain(|settlement| standing.contains(&settlement.id));
    }
    Err(Error::new(ErrorKind::StoreUnavailable, "the rows to settle keep changing; the batch will be tried again"))
}

/// The settlements, one of each row; a second one of a row is stale.
fn once_each<'a>(batch: &'a SettleBatch, stale: &mut Vec<LogId>) -> Vec<&'a Settlement> {
    let mut seen = HashSet::new();
    let (first, again): (Vec<_>, Vec<_>) = batch.settlements.iter().partition(|settlement| seen.insert(settlement.id));
    stale.extend(again.into_iter().map(|settlement: &Settlement| settlement.id));
    first
}

/// One transaction; `false` when a claim is gone.
async fn attempt(store: &PostgresStore, batch: &SettleBatch, settlements: &[&Settlement]) -> Result<bool> {
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    let ((), applied, ()) = try_join!(
        connection.begin(),
        apply(connection, &batch.instance, settlements),
        finish(connection, &batch.instance, &batch.finished),
    )?;
    if applied {
        failpoint!("settle.written");
        unit.commit().await?;
    } else {
        unit.rollback().await?;
    }
    Ok(applied)
}

/// Settles one attempt in a transaction that the caller ends; `false` when its claim is gone: the caller rolls back.
pub(in super::super) async fn settle_one(
    connection: &AsyncPgConnection,
    settlement: &Settlement,
    instance: &str,
) -> Result<bool> {
    match apply(connection, instance, &[settlement]).await {
        Ok(applied) => Ok(applied),
        Err(error) => match Error::from(error) {
            error if is_taken(&error) => Ok(false),
            error => Err(error),
        },
    }
}

/// Whether a row of open work was there already: the row belongs to a later claim.
fn is_taken(error: &Error) -> bool {
    use diesel::result::{DatabaseErrorKind, Error as Diesel};
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Diesel>());
    matches!(source, Some(Diesel::DatabaseError(DatabaseErrorKind::UniqueViolation, _)))
}

/// Sends everything that the settlements change. `false` when one of them did not change what it should have.
async fn apply(connection: &AsyncPgConnection, instance: &str, settlements: &[&Settlement]) -> QueryResult<bool> {
    let parts = Parts::of(settlements);
    let (claims, first_runs, changed, closed, given_back, (), (), (), ()) = try_join!(
        claims(connection, instance, &parts.claims),
        change::processed(connection, &parts.first_runs),
        change::change(connection, &parts.changes),
        queue::close(connection, &parts.closed),
        queue::give_back(connection, &parts.back),
        queue::open(connection, &parts.opened),
        attempt::insert(connection, instance, &parts.attempts),
        change::release_keys(connection, &parts.invalid),
        stage(connection, guard!("settle.letter", parts.letters.as_slice(), without & [])),
    )?;
    Ok(claims == parts.claims.len()
        && first_runs == parts.first_runs.len()
        && changed == parts.changes.len()
        && closed == parts.closed.len()
        && given_back == parts.back.len())
}

/// What a batch changes, statement by statement.
#[derive(Default)]
struct Parts<'a> {
    /// The claims that must stand, each with the range of the settled rows that it has without a row of open work.
    claims: Vec<Guard>,
    /// The common case: first runs that succeeded.
    first_runs: Vec<&'a Settlement>,
    /// Every other record.
    changes: Vec<Change<'a>>,
    closed: Vec<(LogId, ClaimToken)>,
    back: Vec<Back>,
    opened: Vec<Open<'a>>,
    attempts: Vec<NewAttempt<'a>>,
    invalid: Vec<LogId>,
    letters: Vec<&'a StagedEvent>,
}

impl<'a> Parts<'a> {
    fn of(settlements: &[&'a Settlement]) -> Self {
        let mut parts = Self { claims: Guard::of(settlements), ..Self::default() };
        for &settlement in settlements {
            parts.add(settlement);
        }
        // Everybody locks rows in the order of their ids.
        parts.first_runs.sort_unstable_by_key(|settlement| settlement.id);
        parts.changes.sort_unstable_by_key(|change| change.id);
        parts
    }

    fn add(&mut self, settlement: &'a Settlement) {
        let (id, token) = (settlement.id, settlement.token);
        self.attempts.extend(NewAttempt::of(settlement));
        match (open_work(settlement), settlement.queued) {
            (None, false) => return self.first_runs.push(settlement),
            (None, true) => self.closed.push((id, token)),
            (Some((state, due_at)), true) => self.back.push(Back { id, token, state, due_at, abandoned: 0 }),
            (Some((state, due_at)), false) => self.opened.push(Open {
                id,
                group: &settlement.group,
                listener: &settlement.listener,
                topic: &settlement.topic,
                partition: settlement.partition,
                key_hash: settlement.key_hash,
                state,
                due_at,
                abandoned: 0,
            }),
        }
        self.changes.push(Change::of(settlement));
        match &settlement.disposition {
            Disposition::Invalid => self.invalid.push(id),
            Disposition::DeadLetter(letter) => self.letters.push(letter),
            _ => {}
        }
    }
}

/// What a disposition makes of the row of open work: its state and due time, or none.
fn open_work(settlement: &Settlement) -> Option<(InboxState, Timestamp)> {
    match &settlement.disposition {
        Disposition::Processed => None,
        Disposition::Retry { due_at, .. } => Some((InboxState::Due, *due_at)),
        Disposition::DeadLetter(_) | Disposition::Invalid => Some((InboxState::Review, settlement.settled_at)),
        Disposition::Release { due_at } => Some((InboxState::Waiting, *due_at)),
        Disposition::Hold => Some((InboxState::Held, settlement.settled_at)),
    }
}

/// A claim that must stand, and must have a range of rows.
struct Guard {
    token: ClaimToken,
    /// `None` when every row settled under it has a row of open work, which names the token.
    range: Option<(LogId, LogId)>,
}

impl Guard {
    fn of(settlements: &[&Settlement]) -> Vec<Self> {
        let mut guards = std::collections::BTreeMap::<ClaimToken, Option<(LogId, LogId)>>::new();
        for settlement in settlements {
            let range = guards.entry(settlement.token).or_default();
            if !settlement.queued {
                let (first, last) = range.unwrap_or((settlement.id, settlement.id));
                *range = Some((first.min(settlement.id), last.max(settlement.id)));
            }
        }
        guards.into_iter().map(|(token, range)| Self { token, range }).collect()
    }
}

/// Locks the claims against a rescue, and returns how many stand and have the rows.
async fn claims(connection: &AsyncPgConnection, instance: &str, guards: &[Guard]) -> QueryResult<usize> {
    if guards.is_empty() {
        return Ok(0);
    }
    let sql = "\
        SELECT 1 FROM unnest($2, $3, $5) AS r (token, first_id, last_id)
        JOIN claim c ON c.token = r.token
        WHERE c.instance_id = $1 AND coalesce(r.first_id, $4, c.first_id) >= c.first_id
            AND coalesce(r.last_id, $6, c.last_id) <= c.last_id
        ORDER BY c.token
        FOR KEY SHARE OF c";
    let standing: Vec<i32> = Statement::<Integer>::new(sql)
        .bind::<Text, _>(instance)
        .bind::<Array<BigInt>, _>(guards.iter().map(|guard| guard.token.0).collect::<Vec<_>>())
        .column::<BigInt, _>(Column::of(guards.iter().map(|guard| guard.range.map(|(first, _)| first))))
        .column::<BigInt, _>(Column::of(guards.iter().map(|guard| guard.range.map(|(_, last)| last))))
        .rows(connection)
        .await?;
    Ok(standing.len())
}

/// Which of the settlements may still be made.
async fn standing(store: &PostgresStore, instance: &str, settlements: &[&Settlement]) -> Result<HashSet<LogId>> {
    let sql = "\
        SELECT r.id FROM unnest($2, $3, $5) AS r (id, token, queued)
        JOIN claim c ON c.token = coalesce(r.token, $4) AND c.instance_id = $1
        JOIN event_consumption_log l ON l.id = r.id AND l.id BETWEEN $7 AND $8 AND l.status = 'PROCESSING'
        LEFT JOIN inbox_queue q ON q.consumption_id = r.id
        WHERE CASE WHEN coalesce(r.queued, $6) THEN q.claim_token = c.token
            ELSE q.consumption_id IS NULL AND r.id BETWEEN c.first_id AND c.last_id END";
    let connection = super::super::pool::checkout(&store.pool).await?;
    let ids: Vec<_> = settlements.iter().map(|settlement| settlement.id).collect();
    let standing: Vec<LogId> = Statement::<BigInt>::new(sql)
        .bind::<Text, _>(instance)
        .bind::<Array<BigInt>, _>(ids.as_slice())
        .column::<BigInt, _>(Column::of(settlements.iter().map(|settlement| Some(settlement.token.0))))
        .column::<Bool, _>(Column::of(settlements.iter().map(|settlement| Some(settlement.queued))))
        .bounds(&ids)
        .rows(&connection)
        .await?;
    Ok(standing.into_iter().collect())
}

/// Removes claims of which every row is settled.
async fn finish(connection: &AsyncPgConnection, instance: &str, tokens: &[ClaimToken]) -> QueryResult<()> {
    if tokens.is_empty() {
        return Ok(());
    }
    let sql = "DELETE FROM claim WHERE token = ANY ($1) AND instance_id = $2";
    Statement::<()>::new(sql)
        .bind::<Array<BigInt>, _>(tokens.iter().map(|token| token.0).collect::<Vec<_>>())
        .bind::<Text, _>(instance)
        .run(connection)
        .await?;
    Ok(())
}

/// Stages dead letters in the transaction that makes them.
async fn stage(connection: &AsyncPgConnection, letters: &[&StagedEvent]) -> QueryResult<()> {
    if letters.is_empty() {
        return Ok(());
    }
    super::super::outbox::stage(connection, letters).await?;
    failpoint!("settle.letter_staged");
    Ok(())
}
