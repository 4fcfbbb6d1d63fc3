//! The service's own tables, beside the library's, on either database.

use diesel_async::SimpleAsyncConnection;
use tracked_events::{BoxError, on, store::SharedStore};

diesel::table! {
    /// A row of the file, in the order of the file.
    flight (row_number) {
        row_number -> BigInt,
        carrier -> Text,
        number -> Integer,
        tail_number -> Nullable<Text>,
        origin -> Text,
        destination -> Text,
        scheduled_at -> Timestamp,
        departure_delay -> Nullable<Integer>,
        status -> Text,
    }
}

diesel::table! {
    /// What `record_delay` keeps: how many flights of a carrier departed, of how many the delay is known, and its sum.
    carrier_delay (carrier) {
        carrier -> Text,
        departed -> Integer,
        measured -> Integer,
        delay_minutes -> Integer,
    }
}

diesel::table! {
    /// What `track_aircraft` keeps: where an aircraft was last seen going.
    aircraft (tail_number) {
        tail_number -> Text,
        airport -> Text,
        last_row -> BigInt,
        flights -> Integer,
        out_of_order -> Integer,
    }
}

diesel::table! {
    /// Which file the flights are from.
    import_source (checksum) {
        checksum -> Text,
        row_count -> BigInt,
    }
}

/// The same statements on SQLite and PostgreSQL.
const DDL: &str = "
CREATE TABLE IF NOT EXISTS flight (
    row_number      BIGINT    PRIMARY KEY,
    carrier         TEXT      NOT NULL,
    number          INTEGER   NOT NULL,
    tail_number     TEXT,
    origin          TEXT      NOT NULL,
    destination     TEXT      NOT NULL,
    scheduled_at    TIMESTAMP NOT NULL,
    departure_delay INTEGER,
    status          TEXT      NOT NULL CHECK (status IN ('DEPARTED', 'CANCELLED'))
);
CREATE TABLE IF NOT EXISTS carrier_delay (
    carrier         TEXT      PRIMARY KEY,
    departed        INTEGER   NOT NULL,
    measured        INTEGER   NOT NULL,
    delay_minutes   INTEGER   NOT NULL
);
CREATE TABLE IF NOT EXISTS aircraft (
    tail_number     TEXT      PRIMARY KEY,
    airport         TEXT      NOT NULL,
    last_row        BIGINT    NOT NULL,
    flights         INTEGER   NOT NULL,
    out_of_order    INTEGER   NOT NULL
);
CREATE TABLE IF NOT EXISTS import_source (
    checksum        TEXT      PRIMARY KEY,
    row_count       BIGINT    NOT NULL
);
";

/// Creates the tables that are not there yet.
pub(crate) async fn create(store: &SharedStore) -> Result<(), BoxError> {
    let mut transaction = store.begin().await?;
    let mut tx = transaction.tx();
    on!(&mut tx, |connection| connection.batch_execute(DDL).await)?;
    transaction.commit().await?;
    Ok(())
}
