//! A place in a consumer group.

use std::{sync::Arc, thread};

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{
    broker_error,
    config::Config,
    mailbox::Mailbox,
    poll_thread::PollThread,
    rebalance::{self, GroupContext},
};
use crate::{
    broker::{Intake, Position, SubscribeRequest, Subscription, TopicPartition},
    error::{Error, ErrorKind, Result},
};

/// The consumer's end of the mailbox; the poll thread is at the other.
pub(super) struct KafkaSubscription(Arc<Mailbox>);

impl KafkaSubscription {
    pub(super) fn join(config: &Config, request: &SubscribeRequest) -> Result<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let context = GroupContext::new(mailbox.clone());
        let mut consumer: BaseConsumer<GroupContext> =
            config.consumer(request)?.create_with_context(context).map_err(|error| {
                Error::new(ErrorKind::Config, "the Kafka consumer cannot be made; correct the broker's URL")
                    .caused_by(error)
            })?;
        rebalance::wake_on_news(&mut consumer);
        let topics: Vec<_> = request.topics.iter().map(|topic| topic.topic.as_str()).collect();
        consumer.subscribe(&topics).map_err(|error| {
            broker_error(format!("group `{}` cannot subscribe to `{}`", request.group, topics.join("`, `")), error)
        })?;
        let poll_thread = PollThread::new(consumer, mailbox.clone(), request);
        thread::Builder::new()
            .name(format!("kafka-{}", request.group))
            .spawn(move || poll_thread.run())
            .map_err(|error| broker_error("the poll thread cannot be started; free some threads", error))?;
        Ok(Self(mailbox))
    }
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn next(&mut self, max: usize) -> Result<Intake> {
        self.0.next(max).await
    }

    async fn admitted(&mut self, positions: &[Position]) -> Result<()> {
        self.0.admitted(positions);
        Ok(())
    }

    async fn give_back(&mut self, positions: &[Position]) {
        self.0.give_back(positions);
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.0.pause(partitions);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        self.0.resume(partitions);
    }

    async fn released(&mut self, partitions: &[TopicPartition]) {
        self.0.released(partitions);
    }

    async fn close(self: Box<Self>) {
        self.0.leave();
        self.0.ended().await;
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.0.leave();
    }
}
