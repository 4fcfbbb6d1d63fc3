//! Every call may be dropped, wherever it waits.

use std::time::Duration;

use super::{
    BrokerFixture, Manner, Record, assert_numbered, ids, interleaved, membership::members_come_and_go, numbered,
    numbered_ids,
};
use crate::given::*;

/// Enough for a member to join, where it joins by asking.
const A_MOMENT: Duration = Duration::from_millis(500);

pub async fn dropped_calls_lose_no_message(fixture: &BrokerFixture) {
    fixture.topic(4).await;
    let mut record = Record::new();
    let consumer = record.consume(fixture.join(GROUP, "one").await, Manner::Hasty);
    record.share("one", 4).await;
    for round in 0..20 {
        fixture.publish(interleaved(8, round..round + 1)).await;
        record.messages(8 * (round + 1)).await;
    }
    consumer.stop().await;
    assert_numbered(&record.end().await, 0..20);
}

pub async fn dropped_calls_lose_no_partition(fixture: &BrokerFixture) {
    members_come_and_go(fixture, Manner::Hasty).await;
}

/// What the first call took over nobody has heard of, when another member comes.
pub async fn what_a_dropped_call_took_is_handed_over(fixture: &BrokerFixture) {
    fixture.topic(4).await;
    let mut first = fixture.join(GROUP, "one").await;
    assert!(first.next_dropped_after(1, 10).await.is_none());
    let mut second = fixture.join(GROUP, "two").await;
    tokio::time::timeout(A_MOMENT, second.next_dropped_after(4, 10)).await.ok();
    let mut record = Record::new();
    let consumers = [first, second].map(|member| record.consume(member, Manner::Patient));
    record.share("one", 2).await;
    record.share("two", 2).await;
    for consumer in consumers {
        consumer.stop().await;
    }
}

pub async fn a_dropped_release_can_be_repeated(fixture: &BrokerFixture) {
    fixture.topic(2).await;
    let mut first = fixture.join_alone(GROUP, "one", 2).await;
    let mut second = fixture.join(GROUP, "two").await;
    let going = first.joined_by(&mut second).await;
    first.release_dropped_after(1, &going).await;
    first.release(&going).await;
    assert_eq!(second.assigned(1).await, going);
}

pub async fn a_dropped_admission_can_be_repeated(fixture: &BrokerFixture) {
    fixture.topic(1).await;
    fixture.publish(numbered("a", 0..10)).await;
    let mut first = fixture.join_alone(GROUP, "one", 1).await;
    let messages = first.messages(10).await;
    first.admit_dropped_after(1, &messages[..6]).await;
    first.admit(&messages[..6]).await;
    first.close().await;
    let mut second = fixture.join_alone(GROUP, "two", 1).await;
    assert_eq!(ids(&second.messages(4).await), numbered_ids("a", 6..10));
}

pub async fn a_dropped_return_can_be_repeated(fixture: &BrokerFixture) {
    fixture.topic(1).await;
    fixture.publish(numbered("a", 0..100)).await;
    let mut member = fixture.join_alone(GROUP, "one", 1).await;
    let taken = member.messages(50).await;
    member.give_back_dropped_after(1, &taken[10..]).await;
    member.give_back(&taken[10..]).await;
    let expected = numbered_ids("a", 10..100);
    assert_eq!(ids(&member.messages(90).await), expected);
}

pub async fn a_dropped_close_leaves_all_the_same(fixture: &BrokerFixture) {
    fixture.topic(2).await;
    fixture.publish(numbered("a", 0..10)).await;
    let mut first = fixture.join_alone(GROUP, "one", 2).await;
    let messages = first.messages(10).await;
    first.admit(&messages[..4]).await;
    first.close_dropped_after(1).await;
    let mut second = fixture.join_alone(GROUP, "two", 2).await;
    let expected = numbered_ids("a", 4..10);
    assert_eq!(ids(&second.messages(6).await), expected);
}
