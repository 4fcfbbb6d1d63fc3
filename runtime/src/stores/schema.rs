//! The tables, as Diesel sees them on every backend.

use diesel::{
    deserialize::{self, FromSql},
    query_builder::QueryId,
    serialize::{self, Output, ToSql},
    sql_types::SqlType,
};

use crate::clock::Timestamp;

/// A point in time, UTC: `timestamptz` on PostgreSQL, text on SQLite.
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 1184, array_oid = 1185), sqlite_type(name = "Text"))]
pub struct UtcTimestamp;

#[cfg(feature = "sqlite")]
mod on_sqlite {
    use diesel::sqlite::{Sqlite, SqliteValue};

    use super::*;
    use crate::clock::TimestampText;

    impl ToSql<UtcTimestamp, Sqlite> for Timestamp {
        fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
            out.set_value(self.to_string());
            Ok(serialize::IsNull::No)
        }
    }

    impl ToSql<UtcTimestamp, Sqlite> for TimestampText {
        fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
            out.set_value(self.as_str());
            Ok(serialize::IsNull::No)
        }
    }

    impl FromSql<UtcTimestamp, Sqlite> for Timestamp {
        fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
            Ok(value.read_text().parse()?)
        }
    }
}

#[cfg(feature = "postgres")]
mod on_postgres {
    use diesel::{
        pg::{Pg, PgValue, data_types::PgTimestamp},
        sql_types::Timestamptz,
    };

    use super::*;

    /// PostgreSQL counts from 2000-01-01.
    const EPOCH_OFFSET_MICROS: i64 = 946_684_800_000_000;

    impl ToSql<UtcTimestamp, Pg> for Timestamp {
        fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
            let time = PgTimestamp(self.as_micros().saturating_sub(EPOCH_OFFSET_MICROS));
            ToSql::<Timestamptz, Pg>::to_sql(&time, &mut out.reborrow())
        }
    }

    impl FromSql<UtcTimestamp, Pg> for Timestamp {
        fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
            let PgTimestamp(micros) = FromSql::<Timestamptz, Pg>::from_sql(value)?;
            Ok(Self::from_micros(micros.saturating_add(EPOCH_OFFSET_MICROS)))
        }
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    event_production_log (id) {
        id -> BigInt,
        event_id -> Text,
        service_name -> Text,
        topic -> Text,
        event_key -> Nullable<Binary>,
        event_type -> Text,
        payload -> Nullable<Binary>,
        status -> Text,
        retry_count -> Integer,
        max_retries -> Integer,
        error_message -> Nullable<Text>,
        correlation_id -> Nullable<Text>,
        partition_number -> Nullable<Integer>,
        offset -> Nullable<BigInt>,
        published_at -> Nullable<UtcTimestamp>,
        created_at -> UtcTimestamp,
        updated_at -> Nullable<UtcTimestamp>,
        metadata -> Nullable<Text>,
        causation_id -> Nullable<Text>,
        content_type -> Nullable<Text>,
        headers -> Nullable<Text>,
        traceparent -> Nullable<Text>,
        kind -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    event_consumption_log (id) {
        id -> BigInt,
        event_id -> Text,
        service_name -> Text,
        topic -> Text,
        partition_number -> Nullable<Integer>,
        offset -> Nullable<BigInt>,
        consumer_group -> Text,
        event_type -> Text,
        payload -> Nullable<Binary>,
        status -> Text,
        retry_count -> Integer,
        max_retries -> Integer,
        processing_time_ms -> Nullable<BigInt>,
        error_message -> Nullable<Text>,
        error_stack_trace -> Nullable<Text>,
        correlation_id -> Nullable<Text>,
        received_at -> UtcTimestamp,
        processed_at -> Nullable<UtcTimestamp>,
        created_at -> UtcTimestamp,
        updated_at -> Nullable<UtcTimestamp>,
        metadata -> Nullable<Text>,
        handler_name -> Text,
        event_key -> Nullable<Binary>,
        key_hash -> Nullable<BigInt>,
        causation_id -> Nullable<Text>,
        content_type -> Nullable<Text>,
        headers -> Nullable<Text>,
        traceparent -> Nullable<Text>,
        replay_id -> Text,
        redrive_count -> Integer,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    event_attempt (id) {
        id -> BigInt,
        consumption_id -> BigInt,
        event_id -> Text,
        attempt_number -> Integer,
        handler_name -> Text,
        instance_id -> Text,
        started_at -> UtcTimestamp,
        completed_at -> UtcTimestamp,
        status -> Text,
        error_message -> Nullable<Text>,
        error_stack_trace -> Nullable<Text>,
        processing_time_ms -> BigInt,
        retry_delay_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    idempotency_key (event_id, consumer_group, handler_name, replay_id) {
        consumer_group -> Text,
        handler_name -> Text,
        event_id -> Text,
        replay_id -> Text,
        checksum -> BigInt,
        processed_at -> UtcTimestamp,
        consumption_id -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    operator_action (id) {
        id -> BigInt,
        action -> Text,
        target_table -> Text,
        target_id -> BigInt,
        event_id -> Text,
        status_from -> Text,
        status_to -> Text,
        operator -> Text,
        reason -> Nullable<Text>,
        created_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    outbox_queue (production_id) {
        production_id -> BigInt,
        shard -> Integer,
        topic -> Text,
        key_hash -> Nullable<BigInt>,
        state -> Text,
        due_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    inbox_queue (consumption_id) {
        consumption_id -> BigInt,
        consumer_group -> Text,
        handler_name -> Text,
        topic -> Text,
        partition_number -> Nullable<Integer>,
        key_hash -> Nullable<BigInt>,
        state -> Text,
        due_at -> UtcTimestamp,
        claim_token -> Nullable<BigInt>,
        abandoned_count -> Integer,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    claim (token) {
        token -> BigInt,
        instance_id -> Text,
        consumer_group -> Text,
        first_id -> BigInt,
        last_id -> BigInt,
        created_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    instance (id) {
        id -> Text,
        name -> Text,
        service_name -> Text,
        lease_ms -> BigInt,
        beat -> BigInt,
        started_at -> UtcTimestamp,
        last_beat_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    lease (resource) {
        resource -> Text,
        instance_id -> Nullable<Text>,
        token -> BigInt,
        updated_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    member (scope, instance_id) {
        scope -> Text,
        instance_id -> Text,
        joined_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    embedded_partition (topic, partition_number) {
        topic -> Text,
        partition_number -> Integer,
        next_offset -> BigInt,
        created_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    embedded_position (consumer_group, topic, partition_number) {
        consumer_group -> Text,
        topic -> Text,
        partition_number -> Integer,
        next_offset -> BigInt,
        updated_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::UtcTimestamp;

    listener_pause (consumer_group, handler_name) {
        consumer_group -> Text,
        handler_name -> Text,
        operator -> Text,
        reason -> Nullable<Text>,
        created_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;

    id_block (name) {
        name -> Text,
        next_id -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    event_production_log,
    event_consumption_log,
    event_attempt,
    idempotency_key,
    outbox_queue,
    inbox_queue,
    claim,
    operator_action,
);
