//! A partition changes hands.

use std::time::Duration;

use tracked_events::broker::{Intake, SubscribeRequest};

use super::{BrokerFixture, assert_numbered, by_key, ids, interleaved, numbered, numbered_ids, request, within};
use crate::given::*;

pub async fn a_released_partition_goes_on_where_it_was_admitted(fixture: &BrokerFixture) {
    fixture.topic(2).await;
    fixture.publish(interleaved(16, 0..10)).await;
    let mut first = fixture.join_alone(GROUP, "one", 2).await;
    let messages = first.messages(160).await;
    let mut second = fixture.join(GROUP, "two").await;
    let going = first.joined_by(&mut second).await;
    let (gone, kept): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message.position.coordinates().0 == Some(going[0].partition));
    assert!(gone.len() >= 10 && kept.len() >= 10, "{} and {} messages", gone.len(), kept.len());
    first.admit(&gone[..7]).await;
    first.release(&going).await;
    assert_eq!(second.assigned(1).await, going);
    assert_eq!(ids(&second.messages(gone.len() - 7).await), ids(&gone[7..]));

    // Each goes on with its own, and with nothing else.
    fixture.publish(interleaved(16, 10..11)).await;
    let of_kept = first.messages(kept.len() / 10).await;
    let of_gone = second.messages(gone.len() / 10).await;
    assert_eq!(by_key(&of_kept).len(), by_key(&kept).len());
    assert_eq!(by_key(&of_gone).len(), by_key(&gone).len());
}

pub async fn a_partition_that_is_not_released_in_time_is_lost(fixture: &BrokerFixture) {
    fixture.topic(2).await;
    fixture.publish(interleaved(16, 0..3)).await;
    let hasty = SubscribeRequest { release_timeout: Duration::from_millis(300), ..request(GROUP, "one", &[TOPIC]) };
    let mut first = fixture.join_with(hasty).await;
    first.assigned(2).await;
    let messages = first.messages(48).await;
    let mut second = fixture.join(GROUP, "two").await;
    let going = first.joined_by(&mut second).await;
    assert_eq!(first.lost().await, going);
    assert_eq!(second.assigned(1).await, going);
    let gone: Vec<_> =
        messages.into_iter().filter(|message| message.position.coordinates().0 == Some(going[0].partition)).collect();
    assert_eq!(ids(&second.messages(gone.len()).await), ids(&gone));
    // An answer that is too late means nothing.
    first.release(&going).await;
    fixture.publish(interleaved(16, 3..4)).await;
    assert_eq!(second.messages(gone.len() / 3).await.len(), gone.len() / 3);
}

/// A member fails if it gets a message of a partition that is not its own any more.
pub async fn nothing_comes_of_a_partition_that_is_going(fixture: &BrokerFixture) {
    fixture.topic(2).await;
    let slow = SubscribeRequest { release_timeout: Duration::from_secs(1), ..request(GROUP, "one", &[TOPIC]) };
    let mut first = fixture.join_with(slow).await;
    first.assigned(2).await;
    fixture.publish(interleaved(16, 0..3)).await;
    let mut second = fixture.join(GROUP, "two").await;
    let going = first.joined_by(&mut second).await;
    let mut messages = Vec::new();
    let lost = loop {
        match within("the end of the partition", first.next(1)).await {
            Intake::Messages(more) => messages.extend(more),
            Intake::Lost(lost) => break lost,
            other => panic!("expected to have lost partitions, got {other:?}"),
        }
    };
    assert_eq!(lost, going);
    assert_eq!(second.assigned(1).await, going);
    // Together they have all of it.
    while messages.len() < 48 {
        tokio::select! {
            more = first.messages(1) => messages.extend(more),
            more = second.messages(1) => messages.extend(more),
        }
    }
    assert_numbered(&messages, 0..3);
}

pub async fn a_release_of_what_is_not_going_means_nothing(fixture: &BrokerFixture) {
    fixture.topic(2).await;
    let mut member = fixture.join_alone(GROUP, "one", 2).await;
    fixture.publish(interleaved(8, 0..5)).await;
    let all = member.own();
    member.release(&all).await;
    assert_eq!(member.messages(40).await.len(), 40);
}

pub async fn a_partition_that_is_taken_away_is_lost(fixture: &BrokerFixture) {
    fixture.topic(1).await;
    fixture.publish(numbered("a", 0..10)).await;
    let mut member = fixture.join_alone(GROUP, "one", 1).await;
    let taken = member.messages(6).await;
    member.admit(&taken[..2]).await;
    fixture.ground.put_out("one").await;
    let lost = member.lost().await;
    assert_eq!(lost.len(), 1);
    // It may come again, and so may all that the broker was not told of in time.
    assert_eq!(member.assigned(1).await, lost);
    let mut came = Vec::new();
    while came.last().is_none_or(|last| last != "a-9") {
        came.extend(ids(&member.messages(1).await));
    }
    let all = numbered_ids("a", 0..10);
    assert!(came.len() >= 8 && all.ends_with(&came), "{came:?}");
}

pub async fn positions_in_partitions_that_are_gone_are_passed_over(fixture: &BrokerFixture) {
    fixture.topic(2).await;
    fixture.publish(interleaved(16, 0..3)).await;
    let mut first = fixture.join_alone(GROUP, "one", 2).await;
    let messages = first.messages(48).await;
    let mut second = fixture.join(GROUP, "two").await;
    let going = first.joined_by(&mut second).await;
    first.release(&going).await;
    assert_eq!(second.assigned(1).await, going);
    let (gone, kept): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message.position.coordinates().0 == Some(going[0].partition));
    first.admit(&gone).await;
    first.give_back(&gone).await;
    second.close().await;
    // The first gets it back, and all of it; what it kept goes on.
    assert_eq!(first.assigned(1).await, going);
    assert_eq!(ids(&first.messages(gone.len()).await), ids(&gone));
    fixture.publish(interleaved(16, 3..4)).await;
    let came = by_key(&first.messages(16).await);
    assert!(by_key(&kept).keys().all(|key| came[key] == [format!("{key}-3")]), "{came:?}");
}
