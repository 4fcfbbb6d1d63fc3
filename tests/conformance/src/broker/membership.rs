//! The members of a group share its work.

use super::{BrokerFixture, Manner, Record, assert_numbered, ids, interleaved, numbered, numbered_ids};
use crate::given::*;

pub async fn members_of_a_group_share_its_partitions(fixture: &BrokerFixture) {
    fixture.topic(4).await;
    let mut record = Record::new();
    let mut consumers = Vec::new();
    for instance in ["one", "two"] {
        consumers.push(record.consume(fixture.join(GROUP, instance).await, Manner::Patient));
    }
    record.share("one", 2).await;
    record.share("two", 2).await;
    for consumer in consumers {
        consumer.stop().await;
    }
}

pub async fn no_message_goes_to_two_members(fixture: &BrokerFixture) {
    members_come_and_go(fixture, Manner::Patient).await;
}

/// Messages are published while one member joins and another one leaves: each comes once, in the order of its key.
pub(super) async fn members_come_and_go(fixture: &BrokerFixture, manner: Manner) {
    fixture.topic(4).await;
    let mut record = Record::new();
    let one = record.consume(fixture.join(GROUP, "one").await, manner);
    fixture.publish(interleaved(8, 0..10)).await;
    record.messages(80).await;
    let two = record.consume(fixture.join(GROUP, "two").await, manner);
    fixture.publish(interleaved(8, 10..20)).await;
    record.share("two", 2).await;
    fixture.publish(interleaved(8, 20..30)).await;
    record.messages(240).await;
    one.stop().await;
    fixture.publish(interleaved(8, 30..40)).await;
    record.share("two", 4).await;
    record.messages(320).await;
    two.stop().await;
    assert_numbered(&record.end().await, 0..40);
}

pub async fn a_member_that_leaves_hands_over(fixture: &BrokerFixture) {
    fixture.topic(2).await;
    let mut first = fixture.join_alone(GROUP, "one", 2).await;
    let mut second = fixture.join(GROUP, "two").await;
    let going = first.joined_by(&mut second).await;
    first.release(&going).await;
    assert_eq!(second.assigned(1).await, going);
    let kept = first.own();
    first.close().await;
    assert_eq!(second.assigned(1).await, kept);
    fixture.publish(interleaved(8, 0..5)).await;
    assert_eq!(second.messages(40).await.len(), 40);
}

pub async fn a_group_does_not_feel_another(fixture: &BrokerFixture) {
    fixture.topic(2).await;
    let mut billing = fixture.join_alone("billing", "one", 2).await;
    // The same instance, and another one.
    let mut mailing = fixture.join_alone("mailing", "one", 2).await;
    let mut posting = fixture.join_alone("posting", "two", 2).await;
    fixture.publish(numbered("a", 0..3)).await;
    let taken = mailing.messages(3).await;
    mailing.admit(&taken).await;
    mailing.close().await;
    for member in [&mut billing, &mut posting] {
        assert_eq!(ids(&member.messages(3).await), numbered_ids("a", 0..3));
    }
}
