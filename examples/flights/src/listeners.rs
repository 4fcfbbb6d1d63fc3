//! What the service does about a flight.

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, upsert::excluded};
use diesel_async::RunQueryDsl;
use tracked_events::{on, prelude::*};

use crate::{
    events::{FlightDeparted, FlightNotice},
    mail::{MailDown, MailService},
    schema::{aircraft, carrier_delay},
};

/// Adds a departure to its carrier's totals. The totals and the event's PROCESSED status commit together, so that no
/// departure counts twice, however often it is delivered.
#[tracked_listener(topic = "flights")]
pub(crate) async fn record_delay(event: FlightDeparted, tx: &mut Tx<'_>) -> Result<(), HandlerError> {
    let delay = event.departure_delay;
    on!(tx, |connection| {
        diesel::insert_into(carrier_delay::table)
            .values((
                carrier_delay::carrier.eq(&event.carrier),
                carrier_delay::departed.eq(1),
                carrier_delay::measured.eq(i32::from(delay.is_some())),
                carrier_delay::delay_minutes.eq(delay.unwrap_or(0)),
            ))
            .on_conflict(carrier_delay::carrier)
            .do_update()
            .set((
                carrier_delay::departed.eq(carrier_delay::departed + excluded(carrier_delay::departed)),
                carrier_delay::measured.eq(carrier_delay::measured + excluded(carrier_delay::measured)),
                carrier_delay::delay_minutes.eq(carrier_delay::delay_minutes + excluded(carrier_delay::delay_minutes)),
            ))
            .execute(connection)
            .await
    })?;
    Ok(())
}

/// Tells the passengers, of departures and cancellations alike, through a service that is not always there.
#[tracked_listener(
    topic = "flights",
    event_type = "*",
    concurrency = 32,
    timeout = "500ms",
    backoff = exponential(initial = "250ms", max = "2s")
)]
pub(crate) async fn notify_passengers(
    notice: FlightNotice,
    ctx: &EventContext,
    mail: State<MailService>,
) -> Result<(), MailDown> {
    mail.send(&notice, ctx.attempt()).await
}

/// Keeps where each aircraft is going, and counts departures that arrive out of their order: there should be none.
#[tracked_listener(topic = "flights", order = "key")]
pub(crate) async fn track_aircraft(event: FlightDeparted, tx: &mut Tx<'_>) -> Result<(), HandlerError> {
    let Some(tail_number) = event.tail_number else {
        return Ok(());
    };
    let known = aircraft::table.find(&tail_number).select(aircraft::last_row);
    let last_row: Option<i64> = on!(tx, |connection| known.first(connection).await.optional())?;
    let out_of_order = last_row.is_some_and(|last_row| last_row > event.row_number);
    on!(tx, |connection| {
        diesel::insert_into(aircraft::table)
            .values((
                aircraft::tail_number.eq(&tail_number),
                aircraft::airport.eq(&event.destination),
                aircraft::last_row.eq(event.row_number),
                aircraft::flights.eq(1),
                aircraft::out_of_order.eq(i32::from(out_of_order)),
            ))
            .on_conflict(aircraft::tail_number)
            .do_update()
            .set((
                aircraft::airport.eq(excluded(aircraft::airport)),
                aircraft::last_row.eq(excluded(aircraft::last_row)),
                aircraft::flights.eq(aircraft::flights + excluded(aircraft::flights)),
                aircraft::out_of_order.eq(aircraft::out_of_order + excluded(aircraft::out_of_order)),
            ))
            .execute(connection)
            .await
    })?;
    Ok(())
}
