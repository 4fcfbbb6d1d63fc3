//! What was admitted is over, and what was not comes again.

use super::{BrokerFixture, assert_numbered, by_key, ids, interleaved, numbered, numbered_ids, request};
use crate::given::*;

pub async fn admitted_messages_do_not_come_again(fixture: &BrokerFixture) {
    fixture.topic(4).await;
    fixture.publish(interleaved(8, 0..5)).await;
    let mut first = fixture.join_alone(GROUP, "one", 4).await;
    let messages = first.messages(40).await;
    first.admit(&messages).await;
    first.close().await;
    let mut second = fixture.join_alone(GROUP, "two", 4).await;
    fixture.publish(interleaved(8, 5..6)).await;
    assert_numbered(&second.messages(8).await, 5..6);
}

pub async fn messages_that_were_not_admitted_come_again(fixture: &BrokerFixture) {
    fixture.topic(1).await;
    fixture.publish(numbered("a", 0..10)).await;
    let mut first = fixture.join_alone(GROUP, "one", 1).await;
    let messages = first.messages(10).await;
    first.admit(&messages[..4]).await;
    first.close().await;
    let mut second = fixture.join_alone(GROUP, "two", 1).await;
    assert_eq!(ids(&second.messages(6).await), numbered_ids("a", 4..10));
    // Nothing was admitted this time.
    second.close().await;
    let mut third = fixture.join_alone(GROUP, "three", 1).await;
    assert_eq!(ids(&third.messages(6).await), numbered_ids("a", 4..10));
}

pub async fn an_earlier_position_takes_nothing_back(fixture: &BrokerFixture) {
    fixture.topic(1).await;
    fixture.publish(numbered("a", 0..10)).await;
    let mut first = fixture.join_alone(GROUP, "one", 1).await;
    let messages = first.messages(10).await;
    first.admit(&messages[..6]).await;
    first.admit(&messages[..2]).await;
    first.close().await;
    let mut second = fixture.join_alone(GROUP, "two", 1).await;
    assert_eq!(ids(&second.messages(4).await), numbered_ids("a", 6..10));
}

pub async fn what_is_given_back_comes_again_before_what_came_after_it(fixture: &BrokerFixture) {
    fixture.topic(1).await;
    fixture.publish(numbered("a", 0..1_000)).await;
    let mut member = fixture.join_alone(GROUP, "one", 1).await;
    let taken = member.messages(300).await;
    member.admit(&taken[..100]).await;
    let later = member.messages(100).await;
    // As it is done with a batch that failed and the one that was fetched beside it.
    member.give_back(&[&taken[100..], &later].concat()).await;
    assert_eq!(ids(&member.messages(900).await), numbered_ids("a", 100..1_000));
}

pub async fn what_is_given_back_leaves_other_partitions_alone(fixture: &BrokerFixture) {
    for topic in ["bookings", "payments"] {
        fixture.ground.make_topic(topic, 1).await;
        fixture.ground.publish(topic, numbered(topic, 0..20)).await;
    }
    let mut member = fixture.join_with(request(GROUP, "one", &["bookings", "payments"])).await;
    member.assigned(2).await;
    let taken = member.messages(40).await;
    let bookings: Vec<_> = taken.iter().filter(|message| message.topic == "bookings").cloned().collect();
    member.give_back(&bookings[5..]).await;
    fixture.ground.publish("payments", numbered("payments", 20..25)).await;
    let came = by_key(&member.messages(20).await);
    assert_eq!(came["bookings"], numbered_ids("bookings", 5..20));
    assert_eq!(came["payments"], numbered_ids("payments", 20..25));
}

pub async fn what_is_given_back_while_paused_comes_after_the_pause(fixture: &BrokerFixture) {
    for topic in ["bookings", "payments"] {
        fixture.ground.make_topic(topic, 1).await;
    }
    fixture.ground.publish("bookings", numbered("bookings", 0..50)).await;
    let mut member = fixture.join_with(request(GROUP, "one", &["bookings", "payments"])).await;
    let partitions = member.assigned(2).await;
    let paused: Vec<_> = partitions.into_iter().filter(|partition| partition.topic == "bookings").collect();
    let taken = member.messages(10).await;
    member.pause(&paused);
    member.give_back(&taken[4..]).await;
    fixture.ground.publish("payments", numbered("payments", 0..50)).await;
    assert_eq!(ids(&member.messages(50).await), numbered_ids("payments", 0..50));
    member.resume(&paused);
    assert_eq!(ids(&member.messages(46).await), numbered_ids("bookings", 4..50));
}
