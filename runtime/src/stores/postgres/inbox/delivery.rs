//! From a row of the consumption log to a delivery.

use std::sync::Arc;

use diesel::{
    Queryable,
    sql_types::{BigInt, Binary, Integer, Nullable, Text},
};

use crate::{
    clock::Timestamp,
    envelope::{Envelope, IdSource, headers_from_json},
    store::{ClaimToken, Delivery, LogId},
    stores::schema::UtcTimestamp,
};

/// The columns of [`DeliveryRow`], in its order.
macro_rules! delivery_columns {
    () => {
        "l.id, l.event_id, l.topic, l.partition_number, l.\"offset\", l.event_type, l.payload, l.retry_count,
         l.correlation_id, l.received_at, l.handler_name, l.event_key, l.key_hash, l.causation_id, l.content_type,
         l.headers, l.traceparent, l.replay_id, l.redrive_count, l.consumer_group, l.service_name"
    };
}

/// Their SQL types.
pub(super) type DeliverySql = (
    BigInt,
    Text,
    Text,
    Nullable<Integer>,
    Nullable<BigInt>,
    Text,
    Nullable<Binary>,
    Integer,
    Nullable<Text>,
    UtcTimestamp,
    Text,
    Nullable<Binary>,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Text,
    Integer,
    Text,
    Text,
);

/// What a delivery is made of.
#[derive(Queryable)]
pub(super) struct DeliveryRow {
    pub(super) id: LogId,
    event_id: String,
    topic: String,
    partition: Option<i32>,
    offset: Option<i64>,
    event_type: String,
    payload: Option<Vec<u8>>,
    retry_count: i32,
    correlation_id: Option<String>,
    received_at: Timestamp,
    listener: String,
    key: Option<Vec<u8>>,
    key_hash: Option<i64>,
    causation_id: Option<String>,
    content_type: Option<String>,
    headers: Option<String>,
    traceparent: Option<String>,
    replay_id: String,
    redrive_count: i32,
    pub(super) group: String,
    pub(super) service: String,
}

impl DeliveryRow {
    pub(super) fn into_delivery(self, token: ClaimToken, abandoned_count: i32) -> Delivery {
        let envelope = Envelope {
            event_id: self.event_id,
            id_source: IdSource::Publisher,
            event_type: Some(self.event_type),
            payload: self.payload,
            key: self.key,
            content_type: self.content_type,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            traceparent: self.traceparent,
            headers: headers_from_json(self.headers.as_deref()),
        };
        Delivery {
            id: self.id,
            token,
            envelope: Arc::new(envelope),
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            listener: self.listener,
            key_hash: self.key_hash,
            retry_count: u32::try_from(self.retry_count).unwrap_or(0),
            redrive_count: u32::try_from(self.redrive_count).unwrap_or(0),
            abandoned_count: u32::try_from(abandoned_count).unwrap_or(0),
            replay_id: self.replay_id,
            received_at: self.received_at,
        }
    }
}
