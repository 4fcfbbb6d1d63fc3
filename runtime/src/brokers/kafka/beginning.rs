//! Where a group begins in a partition of which it has read nothing.
//!
//! A group that begins at the end does so once, when it is first assigned the partition: the client alone would begin at
//! the end again with each member that takes over before something was admitted, and leave out what came in between.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaResult,
};

use super::rebalance::GroupContext;

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes down the present end of those partitions in which the group has not begun.
pub(super) fn begin_at_the_end(
    consumer: &BaseConsumer<GroupContext>,
    partitions: &TopicPartitionList,
) -> KafkaResult<()> {
    let known = consumer.committed_offsets(partitions.clone(), PATIENCE)?;
    let mut beginnings = TopicPartitionList::new();
    for new in known.elements().iter().filter(|partition| partition.offset() == Offset::Invalid) {
        let (_, end) = consumer.fetch_watermarks(new.topic(), new.partition(), PATIENCE)?;
        beginnings.add_partition_offset(new.topic(), new.partition(), Offset::Offset(end))?;
    }
    if beginnings.count() == 0 {
        return Ok(());
    }
    consumer.commit(&beginnings, CommitMode::Sync)
}
