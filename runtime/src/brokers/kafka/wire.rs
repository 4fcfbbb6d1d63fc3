//! Between Kafka's messages and ours.

use std::sync::Arc;

use rdkafka::{
    Message, TopicPartitionList,
    message::{BorrowedMessage, Header, OwnedHeaders},
};

use super::headers;
use crate::{
    broker::{IncomingMessage, OutgoingMessage, Position, TopicPartition},
    envelope::Envelope,
};

/// Reads a message. One without an id is named after its place and time, since a topic made anew counts from the start.
pub(super) fn incoming(message: &BorrowedMessage<'_>) -> IncomingMessage {
    let partition = TopicPartition { topic: message.topic().to_owned(), partition: message.partition() };
    let offset = message.offset();
    let timestamp = message.timestamp().to_millis().unwrap_or(-1);
    let place = format!("{}:{}:{offset}:{timestamp}", partition.topic, partition.partition);
    let envelope = Envelope::from_wire(
        message.key().map(<[u8]>::to_vec),
        message.payload().map(<[u8]>::to_vec),
        headers::read(message),
        Some(place),
    );
    IncomingMessage {
        topic: partition.topic.clone(),
        envelope: Arc::new(envelope),
        position: Position::Offset { partition, offset, lease: None },
    }
}

/// The headers of a message to send.
pub(super) fn outgoing_headers(message: &OutgoingMessage) -> OwnedHeaders {
    let headers = message.envelope.to_wire(&message.source);
    let list = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(list, |list, header| list.insert(Header { key: &header.name, value: Some(&header.value) }))
}

pub(super) fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .map(|element| TopicPartition { topic: element.topic().to_owned(), partition: element.partition() })
        .collect()
}

pub(super) fn list<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    list
}
