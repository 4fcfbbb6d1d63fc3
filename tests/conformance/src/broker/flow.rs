//! Back-pressure: what is not asked for, and what is paused.

use tracked_events::broker::TopicPartition;

use super::{BrokerFixture, Member, ids, numbered, numbered_ids, request};
use crate::given::*;

const FLOWING: &str = "payments";

/// A member with a partition to pause, of the usual topic, and another one.
async fn with_two_topics(fixture: &BrokerFixture) -> (Member, Vec<TopicPartition>) {
    fixture.topic(1).await;
    fixture.ground.make_topic(FLOWING, 1).await;
    let mut member = fixture.join_with(request(GROUP, "one", &[TOPIC, FLOWING])).await;
    let assigned = member.assigned(2).await;
    let paused = assigned.into_iter().filter(|partition| partition.topic == TOPIC).collect();
    (member, paused)
}

pub async fn who_asks_for_no_messages_gets_only_news(fixture: &BrokerFixture) {
    fixture.topic(2).await;
    fixture.publish(numbered("a", 0..10)).await;
    let mut first = fixture.join_alone(GROUP, "one", 2).await;
    // Now the others are there to be taken as well.
    assert_eq!(ids(&first.messages(1).await), ["a-0"]);
    let mut second = fixture.join(GROUP, "two").await;
    assert_eq!(first.joined_by(&mut second).await.len(), 1);
}

pub async fn what_was_read_ahead_of_a_pause_comes_after_it(fixture: &BrokerFixture) {
    let (mut member, paused) = with_two_topics(fixture).await;
    fixture.publish(numbered("a", 0..100)).await;
    assert_eq!(ids(&member.messages(10).await), numbered_ids("a", 0..10));
    member.pause(&paused);
    fixture.ground.publish(FLOWING, numbered("b", 0..10)).await;
    assert_eq!(ids(&member.messages(10).await), numbered_ids("b", 0..10));
    member.resume(&paused);
    assert_eq!(ids(&member.messages(90).await), numbered_ids("a", 10..100));
}

pub async fn a_paused_partition_is_silent_and_the_others_flow(fixture: &BrokerFixture) {
    let (mut member, paused) = with_two_topics(fixture).await;
    member.pause(&paused);
    for round in 0..5 {
        let numbered_on = round * 10..round * 10 + 10;
        fixture.publish(numbered("a", numbered_on.clone())).await;
        fixture.ground.publish(FLOWING, numbered("b", numbered_on.clone())).await;
        assert_eq!(ids(&member.messages(10).await), numbered_ids("b", numbered_on));
    }
    member.resume(&paused);
    assert_eq!(ids(&member.messages(50).await), numbered_ids("a", 0..50));
    // A partition that was never paused is resumed without harm.
    let all = member.own();
    member.resume(&all);
    fixture.publish(numbered("a", 50..51)).await;
    assert_eq!(ids(&member.messages(1).await), ["a-50"]);
}

pub async fn a_pause_ends_with_the_assignment(fixture: &BrokerFixture) {
    let (mut member, paused) = with_two_topics(fixture).await;
    member.pause(&paused);
    fixture.ground.put_out("one").await;
    assert_eq!(member.lost().await.len(), 2);
    member.assigned(2).await;
    fixture.publish(numbered("a", 0..10)).await;
    assert_eq!(ids(&member.messages(10).await), numbered_ids("a", 0..10));
}
