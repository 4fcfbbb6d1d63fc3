//! What the tables say once everything is done.

use std::{collections::BTreeMap, fmt, time::Duration};

use diesel::{ExpressionMethods, QueryDsl, dsl::count_star};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use tracked_events::{
    BoxError, Publisher, on,
    store::{ConsumptionStatus, EventKind, ProductionStatus},
    stores::schema::{event_consumption_log as consumed, event_production_log as produced},
};

use crate::schema::{aircraft, carrier_delay};

/// The job's result: all of it read from tables, except how long this run took.
#[derive(Serialize)]
pub(crate) struct Summary {
    /// Nothing was left to do.
    already_complete: bool,
    /// Events that the broker has.
    published: i64,
    departed: i64,
    cancelled: i64,
    /// Deliveries to a listener that ended well.
    processed: i64,
    /// Deliveries that took more than one attempt.
    retried: i64,
    dead_lettered: i64,
    duplicates: i64,
    invalid: i64,
    no_handler: i64,
    /// In minutes, over the departures whose delay is known.
    mean_departure_delay: Option<f64>,
    aircraft: i64,
    /// Departures of one aircraft that `track_aircraft` saw out of their order.
    out_of_order: i64,
    /// How long this run took.
    seconds: f64,
    /// Events that this run published and handled to the end, per second.
    events_per_second: f64,
    by_carrier: BTreeMap<String, CarrierSummary>,
}

#[derive(Serialize)]
struct CarrierSummary {
    departed: i32,
    mean_departure_delay: Option<f64>,
}

/// What a run did, beside what is in the tables.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// Everything was done before.
    AlreadyComplete,
    /// This many rows were imported.
    Imported {
        /// Rows.
        rows: usize,
        /// From the first row to the last listener.
        took: Duration,
    },
}

/// A carrier's row of `carrier_delay`: name, departed, measured, minutes.
type CarrierRow = (String, i32, i32, i32);

/// Reads the tables, all in one transaction.
pub(crate) async fn read(publisher: &Publisher, run: Run) -> Result<Summary, BoxError> {
    let mut transaction = publisher.begin().await?;
    let mut tx = transaction.tx();
    let published: Vec<(String, i64)> = on!(&mut tx, |connection| {
        produced::table
            .filter(produced::kind.eq(EventKind::Event.as_str()))
            .filter(produced::status.eq(ProductionStatus::Published.as_str()))
            .group_by(produced::event_type)
            .select((produced::event_type, count_star()))
            .load(connection)
            .await
    })?;
    let by_status: Vec<(String, i64)> = on!(&mut tx, |connection| {
        consumed::table.group_by(consumed::status).select((consumed::status, count_star())).load(connection).await
    })?;
    let retried: i64 = on!(&mut tx, |connection| {
        consumed::table.filter(consumed::retry_count.gt(0)).select(count_star()).first(connection).await
    })?;
    let carriers: Vec<CarrierRow> = on!(&mut tx, |connection| carrier_delay::table.load(connection).await)?;
    let aircraft: Vec<i32> =
        on!(&mut tx, |connection| aircraft::table.select(aircraft::out_of_order).load(connection).await)?;
    transaction.rollback().await?;
    Summary::new(run, &published, &by_status, retried, carriers, &aircraft)
}

impl Summary {
    fn new(
        run: Run,
        published: &[(String, i64)],
        by_status: &[(String, i64)],
        retried: i64,
        carriers: Vec<CarrierRow>,
        aircraft: &[i32],
    ) -> Result<Self, BoxError> {
        let of_type = |event_type| count(published, event_type);
        let in_status = |status: ConsumptionStatus| count(by_status, status.as_str());
        let (rows, seconds) = match run {
            Run::AlreadyComplete => (0, 0.0),
            Run::Imported { rows, took } => (u32::try_from(rows)?, took.as_secs_f64()),
        };
        let rate = f64::from(rows) / seconds;
        Ok(Self {
            already_complete: matches!(run, Run::AlreadyComplete),
            published: published.iter().map(|(_, count)| count).sum(),
            departed: of_type("FLIGHT_DEPARTED"),
            cancelled: of_type("FLIGHT_CANCELLED"),
            processed: in_status(ConsumptionStatus::Processed),
            retried,
            dead_lettered: in_status(ConsumptionStatus::FailedMaxRetry),
            duplicates: in_status(ConsumptionStatus::Duplicate),
            invalid: in_status(ConsumptionStatus::Invalid),
            no_handler: in_status(ConsumptionStatus::NoHandler),
            mean_departure_delay: mean(carriers.iter().map(|(_, _, measured, minutes)| (*measured, *minutes))),
            aircraft: i64::try_from(aircraft.len())?,
            out_of_order: aircraft.iter().map(|count| i64::from(*count)).sum(),
            seconds: rounded(seconds, 3),
            events_per_second: if rate.is_finite() { rounded(rate, 1) } else { 0.0 },
            by_carrier: carriers.into_iter().map(carrier_summary).collect(),
        })
    }
}

fn carrier_summary((carrier, departed, measured, minutes): CarrierRow) -> (String, CarrierSummary) {
    (carrier, CarrierSummary { departed, mean_departure_delay: mean([(measured, minutes)]) })
}

fn count(counts: &[(String, i64)], name: &str) -> i64 {
    counts.iter().filter(|(found, _)| found == name).map(|(_, count)| count).sum()
}

/// To four places; `None` when nothing was measured.
fn mean(parts: impl IntoIterator<Item = (i32, i32)>) -> Option<f64> {
    let add = |(measured, minutes), (more_measured, more_minutes)| {
        (measured + f64::from(more_measured), minutes + f64::from(more_minutes))
    };
    let (measured, minutes) = parts.into_iter().fold((0.0, 0.0), add);
    (measured > 0.0).then(|| rounded(minutes / measured, 4))
}

fn rounded(value: f64, places: i32) -> f64 {
    let scale = 10_f64.powi(places);
    (value * scale).round() / scale
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "published      {:>7}   {} departed, {} cancelled", self.published, self.departed, self.cancelled)?;
        writeln!(f, "processed      {:>7}   deliveries to three listeners", self.processed)?;
        writeln!(f, "retried        {:>7}   while the mail service was down", self.retried)?;
        writeln!(f, "dead-lettered  {:>7}   {} duplicates", self.dead_lettered, self.duplicates)?;
        writeln!(f, "aircraft       {:>7}   {} departures out of order", self.aircraft, self.out_of_order)?;
        writeln!(f, "mean delay     {:>7}   minutes\n", minutes(self.mean_departure_delay, 4))?;
        writeln!(f, "carrier  departed  mean delay")?;
        for (carrier, summary) in &self.by_carrier {
            let delay = minutes(summary.mean_departure_delay, 1);
            writeln!(f, "{carrier:<7}  {:>8}  {delay:>10}", summary.departed)?;
        }
        if self.already_complete {
            write!(f, "\nAll of it was done by an earlier run; nothing was changed.")
        } else {
            write!(f, "\n{:.1} s, {:.0} events/s", self.seconds, self.events_per_second)
        }
    }
}

fn minutes(mean: Option<f64>, places: usize) -> String {
    mean.map_or_else(|| "unknown".to_owned(), |mean| format!("{mean:.places$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_weighed_by_what_was_measured() {
        assert_eq!(mean([(1, 10), (3, 2)]), Some(3.0));
        assert_eq!(mean([(0, 0)]), None);
    }
}
