//! Admitting a batch: identify, deduplicate, write, claim, move the position.
//!
//! Written for the batch in which nothing is known yet: keys, rows, open work and claim are sent together, and one
//! answer tells which keys were there before. Only those are looked up, and their rows corrected, before the commit.

use std::collections::HashSet;

use diesel::{
    QueryResult,
    sql_types::{BigInt, Text},
};
use diesel_async::AsyncPgConnection;
use futures_util::try_join;

use super::{
    super::{
        PostgresStore,
        pool::{Batch, Retries, Unit},
        statement::Statement,
    },
    queue,
};
use crate::{
    error::Result,
    store::{Admission, Admitted, ClaimToken, LogId, Placement},
    stores::{fenced::fenced, schema::UtcTimestamp},
};

mod entry;
mod key;
mod position;
mod row;

use self::entry::{Entry, Fate};
pub(in crate::stores::postgres) use self::key::Unwanted;

pub(super) async fn admit(store: &PostgresStore, batch: &Admission) -> Result<Admitted> {
    let first_id = store.consumption_ids.take(&store.pool, batch.arrivals.len()).await?;
    let runs = batch.arrivals.iter().any(|arrival| arrival.placement == Placement::Run);
    let token = if runs { Some(store.claim_token().await?) } else { None };
    let mut retries = Retries::new();
    loop {
        match attempt(store, batch, first_id, token).await {
            Ok(Some(admitted)) => return Ok(admitted),
            // A key was there, and is gone: its owner has released it since.
            Ok(None) => {}
            Err(error) if retries.again(&error).await => {}
            Err(error) => return Err(error),
        }
    }
}

/// One transaction; `None` when a key that stood in the way was gone when it was looked up.
async fn attempt(
    store: &PostgresStore,
    batch: &Admission,
    first_id: LogId,
    token: Option<ClaimToken>,
) -> Result<Option<Admitted>> {
    let unwanted_known = store.unwanted.known(&store.pool, &batch.group).await?;
    let mut entries: Vec<_> = (first_id..).zip(&batch.arrivals).map(|(id, arrival)| Entry::new(id, arrival)).collect();
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    let ask = unwanted_known || entries.iter().any(Entry::is_invalid);
    if ask {
        try_join!(connection.begin(), look_up_first(connection, batch, &mut entries, unwanted_known))?;
    }
    let begin = async { if ask { Ok(()) } else { connection.begin().await } };
    let ((), entered, has_claim, standing) = try_join!(
        begin,
        key::enter(connection, batch, &entries),
        write(connection, batch, &entries, token),
        position::advance(connection, batch),
    )?;
    if !has_claim || standing < position::guarded(batch) {
        unit.rollback().await?;
        return Err(if has_claim { position::stale() } else { fenced() });
    }
    if !correct(connection, batch, &mut entries, &entered, token).await? {
        unit.rollback().await?;
        return Ok(None);
    }
    failpoint!("admit.written");
    unit.commit().await?;
    if entries.iter().any(|entry| entry.is_unwanted()) {
        store.unwanted.note(&batch.group);
    }
    let outcomes = entries.iter().map(Entry::outcome).collect();
    let token = token.filter(|_| entries.iter().any(Entry::runs));
    Ok(Some(Admitted { token, outcomes }))
}

/// Looks up what cannot be left to chance: malformed arrivals, which enter no key, and events that nobody wanted
/// before. Nearly always there is nothing to look up.
async fn look_up_first(
    connection: &AsyncPgConnection,
    batch: &Admission,
    entries: &mut [Entry<'_>],
    unwanted_known: bool,
) -> QueryResult<()> {
    if entries.iter().any(|entry| entry.is_invalid()) {
        let invalid: Vec<_> = entries.iter_mut().filter(|entry| entry.is_invalid()).collect();
        key::look_up(connection, batch, invalid).await?;
    }
    if unwanted_known {
        key::look_up_unwanted(connection, batch, entries).await?;
    }
    Ok(())
}

/// Writes every row as if its key were new. `false` when the instance may not claim.
async fn write(
    connection: &AsyncPgConnection,
    batch: &Admission,
    entries: &[Entry<'_>],
    token: Option<ClaimToken>,
) -> QueryResult<bool> {
    let open: Vec<_> = entries.iter().filter_map(|entry| entry.open(batch)).collect();
    let (has_claim, ..) = try_join!(
        claim(connection, batch, entries, token),
        row::insert(connection, batch, entries),
        row::reopen(connection, batch, entries),
        queue::open(connection, &open),
    )?;
    Ok(has_claim)
}

async fn claim(
    connection: &AsyncPgConnection,
    batch: &Admission,
    entries: &[Entry<'_>],
    token: Option<ClaimToken>,
) -> QueryResult<bool> {
    let mut running = entries.iter().filter(|entry| entry.runs()).map(|entry| entry.id);
    let (Some(token), Some(first)) = (token, running.next()) else { return Ok(true) };
    let range = (first, running.next_back().unwrap_or(first));
    let claim = NewClaim { token, instance: &batch.instance, group: &batch.group, range, now: batch.now };
    insert_claim(connection, &claim).await
}

/// Corrects the rows whose key was there before. `false` when such a key is gone meanwhile.
async fn correct(
    connection: &AsyncPgConnection,
    batch: &Admission,
    entries: &mut [Entry<'_>],
    entered: &[LogId],
    token: Option<ClaimToken>,
) -> QueryResult<bool> {
    let all_new = entered.len() == entries.iter().filter(|entry| entry.is_keyed()).count();
    if guard!("admit.key", all_new, without true) {
        return Ok(true);
    }
    let entered: HashSet<_> = entered.iter().copied().collect();
    let is_known = |entry: &Entry<'_>| entry.is_keyed() && !entered.contains(&entry.id);
    let known_ids: Vec<_> = entries.iter().filter(|entry| is_known(entry)).map(|entry| entry.id).collect();
    let known: Vec<_> = entries.iter_mut().filter(|entry| is_known(entry)).collect();
    key::look_up(connection, batch, known).await?;
    let known: Vec<_> = entries.iter().filter(|entry| known_ids.binary_search(&entry.id).is_ok()).collect();
    if known.iter().any(|entry| entry.fate == Fate::Fresh) {
        return Ok(false);
    }
    let open: Vec<_> = known.iter().filter_map(|entry| entry.open(batch)).collect();
    let unused = token.filter(|_| !entries.iter().any(|entry| entry.runs()));
    try_join!(
        row::correct(connection, batch, &known),
        async {
            queue::remove(connection, &known_ids).await?;
            queue::open(connection, &open).await
        },
        drop_claim(connection, unused),
    )?;
    Ok(true)
}

/// A claim to enter.
pub(super) struct NewClaim<'a> {
    pub(super) token: ClaimToken,
    pub(super) instance: &'a str,
    pub(super) group: &'a str,
    /// Of the rows without a row of open work.
    pub(super) range: (LogId, LogId),
    pub(super) now: crate::clock::Timestamp,
}

/// `false` when the instance is not entered any more. Whoever fences it waits for this transaction.
pub(super) async fn insert_claim(connection: &AsyncPgConnection, claim: &NewClaim<'_>) -> QueryResult<bool> {
    let sql = "INSERT INTO claim (token, instance_id, consumer_group, first_id, last_id, created_at)
               SELECT $1, id, $3, $4, $5, $6 FROM instance WHERE id = $2 FOR KEY SHARE";
    let entered = Statement::<()>::new(sql)
        .bind::<BigInt, _>(claim.token.0)
        .bind::<Text, _>(claim.instance)
        .bind::<Text, _>(claim.group)
        .bind::<BigInt, _>(claim.range.0)
        .bind::<BigInt, _>(claim.range.1)
        .bind::<UtcTimestamp, _>(claim.now)
        .run(connection)
        .await?;
    Ok(entered == 1)
}

async fn drop_claim(connection: &AsyncPgConnection, token: Option<ClaimToken>) -> QueryResult<()> {
    if let Some(token) = token {
        let sql = "DELETE FROM claim WHERE token = $1";
        Statement::<()>::new(sql).bind::<BigInt, _>(token.0).run(connection).await?;
    }
    Ok(())
}
