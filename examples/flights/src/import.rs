//! From the file to the database: each row is a transaction that writes the flight and publishes what happened to it.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use indicatif::ProgressBar;
use tokio::task::JoinSet;
use tracked_events::{on, prelude::*};

use crate::{
    events::{FlightCancelled, FlightDeparted},
    schema::{flight, import_source},
    timetable::{Flight, Outcome, Timetable},
};

/// Rows are published by this many tasks. All rows of an aircraft go through one of them, in the order of the file.
const PUBLISHERS: u64 = 8;

/// Imports the rows that are not in the database yet, and says how many there were.
pub(crate) async fn import(
    publisher: &Publisher,
    timetable: Timetable,
    progress: &ProgressBar,
) -> Result<usize, BoxError> {
    claim_database_for(publisher, &timetable).await?;
    let imported = imported_rows(publisher).await?;
    progress.set_position(imported.len().try_into()?);
    let mut shares: BTreeMap<u64, Vec<Flight>> = BTreeMap::new();
    for flight in timetable.flights {
        if !imported.contains(&flight.row_number) {
            shares.entry(share_of(&flight)).or_default().push(flight);
        }
    }
    let missing = shares.values().map(Vec::len).sum();
    let mut tasks = JoinSet::new();
    for share in shares.into_values() {
        tasks.spawn(publish_all(publisher.clone(), share, progress.clone()));
    }
    while let Some(finished) = tasks.join_next().await {
        finished??;
    }
    Ok(missing)
}

async fn publish_all(publisher: Publisher, flights: Vec<Flight>, progress: ProgressBar) -> Result<(), BoxError> {
    for flight in flights {
        let mut transaction = publisher.begin().await?;
        match flight.outcome {
            Outcome::Departed { delay } => _ = depart(&mut transaction.tx(), &flight, delay).await?,
            Outcome::Cancelled => _ = cancel(&mut transaction.tx(), &flight).await?,
        }
        transaction.commit().await?;
        progress.inc(1);
    }
    Ok(())
}

/// Writes a flight that departed. A row that is there already is not published again.
#[tracked_publish]
async fn depart(
    tx: &mut Tx<'_>,
    flight: &Flight,
    departure_delay: Option<i32>,
) -> Result<Option<FlightDeparted>, diesel::result::Error> {
    let is_new = write(tx, flight, "DEPARTED", departure_delay).await?;
    Ok(is_new.then(|| FlightDeparted {
        tail_number: flight.tail_number.clone(),
        row_number: flight.row_number,
        carrier: flight.carrier.clone(),
        number: flight.number,
        origin: flight.origin.clone(),
        destination: flight.destination.clone(),
        scheduled_at: flight.scheduled_at,
        departure_delay,
    }))
}

/// Writes a flight that was cancelled. A row that is there already is not published again.
#[tracked_publish]
async fn cancel(tx: &mut Tx<'_>, flight: &Flight) -> Result<Option<FlightCancelled>, diesel::result::Error> {
    let is_new = write(tx, flight, "CANCELLED", None).await?;
    Ok(is_new.then(|| FlightCancelled {
        tail_number: flight.tail_number.clone(),
        row_number: flight.row_number,
        carrier: flight.carrier.clone(),
        number: flight.number,
        origin: flight.origin.clone(),
        destination: flight.destination.clone(),
        scheduled_at: flight.scheduled_at,
    }))
}

/// `false` when the row is there already.
async fn write(
    tx: &mut Tx<'_>,
    row: &Flight,
    status: &str,
    departure_delay: Option<i32>,
) -> Result<bool, diesel::result::Error> {
    let inserted = on!(tx, |connection| {
        diesel::insert_into(flight::table)
            .values((
                flight::row_number.eq(row.row_number),
                flight::carrier.eq(&row.carrier),
                flight::number.eq(row.number),
                flight::tail_number.eq(&row.tail_number),
                flight::origin.eq(&row.origin),
                flight::destination.eq(&row.destination),
                flight::scheduled_at.eq(row.scheduled_at.naive_utc()),
                flight::departure_delay.eq(departure_delay),
                flight::status.eq(status),
            ))
            .on_conflict_do_nothing()
            .execute(connection)
            .await
    })?;
    Ok(inserted == 1)
}

/// Refuses to mix the flights of two files.
async fn claim_database_for(publisher: &Publisher, timetable: &Timetable) -> Result<(), BoxError> {
    let mut transaction = publisher.begin().await?;
    let mut tx = transaction.tx();
    let found: Vec<String> =
        on!(&mut tx, |connection| import_source::table.select(import_source::checksum).load(connection).await)?;
    match found.as_slice() {
        [] => {
            let row_count = i64::try_from(timetable.flights.len())?;
            let source = (import_source::checksum.eq(&timetable.checksum), import_source::row_count.eq(row_count));
            on!(&mut tx, |connection| {
                diesel::insert_into(import_source::table).values(source).execute(connection).await
            })?;
        }
        [known] if *known == timetable.checksum => {}
        _ => {
            return Err("the database holds the flights of another file; \
                        point `TRACKED_DATABASE_URL` at a new database, such as `sqlite:another.db`"
                .into());
        }
    }
    transaction.commit().await?;
    Ok(())
}

async fn imported_rows(publisher: &Publisher) -> Result<HashSet<i64>, BoxError> {
    let mut transaction = publisher.begin().await?;
    let mut tx = transaction.tx();
    let rows: Vec<i64> = on!(&mut tx, |connection| flight::table.select(flight::row_number).load(connection).await)?;
    transaction.rollback().await?;
    Ok(rows.into_iter().collect())
}

fn share_of(flight: &Flight) -> u64 {
    let mut hasher = DefaultHasher::new();
    match &flight.tail_number {
        Some(tail_number) => tail_number.hash(&mut hasher),
        None => flight.row_number.hash(&mut hasher),
    }
    hasher.finish() % PUBLISHERS
}
