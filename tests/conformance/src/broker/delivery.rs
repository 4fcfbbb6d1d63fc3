//! What is published comes, in its order.

use tracked_events::{
    broker::{SubscribeRequest, TopicSubscription},
    listen::{Order, Start},
};

use super::{BrokerFixture, assert_numbered, ids, interleaved, numbered, numbered_ids, request};
use crate::given::*;

pub async fn messages_of_a_key_come_in_their_order(fixture: &BrokerFixture) {
    fixture.topic(4).await;
    fixture.publish(interleaved(8, 0..20)).await;
    let mut member = fixture.join_alone(GROUP, "one", 4).await;
    let mut messages = member.messages(160).await;
    fixture.publish(interleaved(8, 20..40)).await;
    messages.extend(member.messages(160).await);
    assert_numbered(&messages, 0..40);
}

pub async fn every_group_gets_every_message_once(fixture: &BrokerFixture) {
    fixture.topic(4).await;
    fixture.publish(interleaved(8, 0..5)).await;
    let mut billing = fixture.join_alone("billing", "one", 4).await;
    let mut mailing = fixture.join_alone("mailing", "one", 4).await;
    for member in [&mut billing, &mut mailing] {
        let mut came = ids(&member.messages(40).await);
        came.sort();
        came.dedup();
        assert_eq!(came.len(), 40);
    }
    // And then only what is new.
    fixture.publish(numbered("later", 0..1)).await;
    for member in [&mut billing, &mut mailing] {
        assert_eq!(ids(&member.messages(1).await), ["later-0"]);
    }
}

pub async fn a_subscription_reads_several_topics(fixture: &BrokerFixture) {
    let topics = ["bookings", "payments", "refunds"];
    for (topic, partitions) in topics.into_iter().zip([1, 2, 3]) {
        fixture.ground.make_topic(topic, partitions).await;
        fixture.ground.publish(topic, numbered(topic, 0..10)).await;
    }
    let mut member = fixture.join_with(request(GROUP, "one", &topics)).await;
    let assigned = member.assigned(6).await;
    for (topic, partitions) in topics.into_iter().zip([1, 2, 3]) {
        assert_eq!(assigned.iter().filter(|partition| partition.topic == topic).count(), partitions);
    }
    let messages = member.messages(30).await;
    for topic in topics {
        let came = messages.iter().filter(|message| message.topic == topic);
        let came: Vec<_> = came.map(|message| message.envelope.event_id.clone()).collect();
        assert_eq!(came, numbered_ids(topic, 0..10));
    }
}

pub async fn a_message_that_comes_later_is_waited_for(fixture: &BrokerFixture) {
    fixture.topic(1).await;
    let mut member = fixture.join_alone(GROUP, "one", 1).await;
    for number in 0..5 {
        let (came, ()) = tokio::join!(member.messages(1), fixture.publish(numbered("a", number..number + 1)));
        assert_eq!(ids(&came), [format!("a-{number}")]);
    }
}

/// A member fails if it gets more than it asked for.
pub async fn no_more_come_than_were_asked_for(fixture: &BrokerFixture) {
    fixture.topic(2).await;
    fixture.publish(interleaved(6, 0..5)).await;
    let mut member = fixture.join_alone(GROUP, "one", 2).await;
    let mut messages = Vec::new();
    while messages.len() < 30 {
        messages.extend(member.messages(1).await);
    }
    assert_numbered(&messages, 0..5);
}

fn from_the_end(instance: &str) -> SubscribeRequest {
    let topic = TopicSubscription { topic: TOPIC.into(), order: Order::Key, start: Start::Latest };
    SubscribeRequest { topics: vec![topic], ..request(GROUP, instance, &[]) }
}

pub async fn a_group_that_begins_at_the_end_gets_what_comes_later(fixture: &BrokerFixture) {
    fixture.topic(4).await;
    fixture.publish(interleaved(8, 0..5)).await;
    let mut member = fixture.join_with(from_the_end("one")).await;
    member.assigned(4).await;
    fixture.publish(interleaved(8, 5..10)).await;
    assert_numbered(&member.messages(40).await, 5..10);
}

/// Where it began holds, although nothing was admitted since, for whoever comes next.
pub async fn a_group_begins_once(fixture: &BrokerFixture) {
    fixture.topic(1).await;
    fixture.publish(numbered("a", 0..3)).await;
    let mut first = fixture.join_with(from_the_end("one")).await;
    first.assigned(1).await;
    fixture.publish(numbered("a", 3..6)).await;
    first.close().await;
    fixture.publish(numbered("a", 6..9)).await;
    let mut second = fixture.join_with(from_the_end("two")).await;
    second.assigned(1).await;
    assert_eq!(ids(&second.messages(6).await), numbered_ids("a", 3..9));
}
