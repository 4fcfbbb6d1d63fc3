//! The outbox: staged rows on their way to a broker.

use tracked_events::store::{
    Lease, OUTBOX_SHARDS, Outgoing, OutgoingOutcome, OutgoingResult, ProductionStatus as Status,
};

use crate::{Fixture, given::*};

async fn all_shards(store: &Fixture, instance: &str) -> Vec<Lease> {
    register(store, instance).await;
    let resources: Vec<_> = (0..OUTBOX_SHARDS).map(|shard| format!("outbox/{shard}")).collect();
    store.acquire(&resources, instance, NOW).await.unwrap()
}

fn event_ids(taken: &[Outgoing]) -> Vec<&str> {
    taken.iter().map(|row| row.envelope.event_id.as_str()).collect()
}

fn result(row: &Outgoing, outcome: OutgoingOutcome) -> OutgoingResult {
    OutgoingResult { id: row.id, shard: row.shard, outcome }
}

fn published() -> OutgoingOutcome {
    OutgoingOutcome::Published { partition: Some(3), offset: Some(77) }
}

fn retry(seconds: u64) -> OutgoingOutcome {
    OutgoingOutcome::Retry { error: "the broker is away".into(), due_at: after(seconds) }
}

pub async fn staged_events_are_taken_in_their_order(store: &Fixture) {
    let leases = all_shards(store, ME).await;
    store.stage_alone((0..40).map(|n| staged(&format!("e{n}"))).collect()).await.unwrap();
    let mut taken = store.take_outgoing(&leases, 15, NOW).await.unwrap();
    assert_eq!(taken.len(), 15);
    taken.extend(store.take_outgoing(&leases, 100, NOW).await.unwrap());
    assert_eq!(event_ids(&taken), (0..40).map(|n| format!("e{n}")).collect::<Vec<_>>());
    assert_eq!(taken[0].envelope, envelope("e0"));
    assert_eq!((taken[0].topic.as_str(), taken[0].retry_count, taken[0].max_retries), (TOPIC, 0, 3));
    assert_eq!((taken[0].shard, taken[0].created_at), (staged("e0").shard(), NOW));
}

pub async fn taken_rows_are_not_taken_again(store: &Fixture) {
    let leases = all_shards(store, ME).await;
    store.stage_alone(vec![staged("e1")]).await.unwrap();
    assert_eq!(store.take_outgoing(&leases, 10, NOW).await.unwrap().len(), 1);
    assert_eq!(store.take_outgoing(&leases, 10, NOW).await.unwrap().len(), 0);
    assert_eq!(produced(store).await[0].status, Status::Publishing);
    assert_eq!(store.next_outgoing_at(&leases).await.unwrap(), None);
}

pub async fn an_acknowledged_row_is_published(store: &Fixture) {
    let leases = all_shards(store, ME).await;
    store.stage_alone(vec![staged("e1")]).await.unwrap();
    let taken = store.take_outgoing(&leases, 10, NOW).await.unwrap();
    store.settle_outgoing(&leases, vec![result(&taken[0], published())], after(1)).await.unwrap();
    let row = produced(store).await.remove(0);
    assert_eq!((row.status, row.published_at), (Status::Published, Some(after(1))));
    assert_eq!((row.partition_number, row.offset), (Some(3), Some(77)));
    assert!(store.backlog().await.unwrap().is_empty());
}

pub async fn a_refused_row_waits_for_its_time(store: &Fixture) {
    let leases = all_shards(store, ME).await;
    store.stage_alone(vec![staged("e1")]).await.unwrap();
    let taken = store.take_outgoing(&leases, 10, NOW).await.unwrap();
    store.settle_outgoing(&leases, vec![result(&taken[0], retry(10))], after(1)).await.unwrap();
    let row = produced(store).await.remove(0);
    assert_eq!((row.status, row.retry_count), (Status::Failed, 1));
    assert_eq!(row.error_message.as_deref(), Some("the broker is away"));
    assert_eq!(store.next_outgoing_at(&leases).await.unwrap(), Some(after(10)));
    assert!(store.take_outgoing(&leases, 10, after(9)).await.unwrap().is_empty());
    let again = store.take_outgoing(&leases, 10, after(10)).await.unwrap();
    assert_eq!((again.len(), again[0].retry_count), (1, 1));
    store.settle_outgoing(&leases, vec![result(&again[0], published())], after(11)).await.unwrap();
    let row = produced(store).await.remove(0);
    assert_eq!((row.status, row.error_message), (Status::Published, None));
}

pub async fn a_row_that_waits_for_its_retry_holds_its_key_only(store: &Fixture) {
    let leases = all_shards(store, ME).await;
    let other_topic = tracked_events::store::StagedEvent { topic: "other".into(), ..staged_with_key("e5", "a") };
    let events = vec![
        staged_with_key("e1", "a"),
        staged_with_key("e2", "a"),
        staged_with_key("e3", "b"),
        staged("e4"),
        other_topic,
    ];
    store.stage_alone(events).await.unwrap();
    let first = store.take_outgoing(&leases, 1, NOW).await.unwrap();
    store.settle_outgoing(&leases, vec![result(&first[0], retry(10))], NOW).await.unwrap();
    let taken = store.take_outgoing(&leases, 10, after(1)).await.unwrap();
    assert_eq!(event_ids(&taken), ["e3", "e4", "e5"]);
    let done = taken.iter().map(|row| result(row, published())).collect();
    store.settle_outgoing(&leases, done, after(1)).await.unwrap();
    let in_time = store.take_outgoing(&leases, 10, after(10)).await.unwrap();
    assert_eq!(event_ids(&in_time), ["e1", "e2"]);
}

pub async fn a_row_given_up_lets_its_key_go_on(store: &Fixture) {
    let leases = all_shards(store, ME).await;
    store.stage_alone(vec![staged_with_key("e1", "a"), staged_with_key("e2", "a")]).await.unwrap();
    let first = store.take_outgoing(&leases, 1, NOW).await.unwrap();
    let given_up = OutgoingOutcome::GiveUp { error: "too large".into() };
    store.settle_outgoing(&leases, vec![result(&first[0], given_up)], NOW).await.unwrap();
    let row = produced(store).await.remove(0);
    assert_eq!((row.status, row.error_message.as_deref()), (Status::FailedMaxRetry, Some("too large")));
    assert_eq!(store.backlog().await.unwrap().outbox_review, 1);
    assert_eq!(event_ids(&store.take_outgoing(&leases, 10, after(99)).await.unwrap()), ["e2"]);
}

pub async fn a_row_not_sent_is_pending_again(store: &Fixture) {
    let leases = all_shards(store, ME).await;
    store.stage_alone(vec![staged_with_key("e1", "a"), staged_with_key("e2", "a")]).await.unwrap();
    let taken = store.take_outgoing(&leases, 10, NOW).await.unwrap();
    let results = vec![result(&taken[0], retry(10)), result(&taken[1], OutgoingOutcome::Held)];
    store.settle_outgoing(&leases, results, NOW).await.unwrap();
    let row = produced(store).await.remove(1);
    assert_eq!((row.status, row.retry_count), (Status::Pending, 0));
    assert!(store.take_outgoing(&leases, 10, after(5)).await.unwrap().is_empty());
    assert_eq!(event_ids(&store.take_outgoing(&leases, 10, after(10)).await.unwrap()), ["e1", "e2"]);
}

pub async fn only_leased_shards_are_taken(store: &Fixture) {
    let leases = all_shards(store, ME).await;
    let events: Vec<_> = (0..64).map(|n| staged_with_key(&format!("e{n}"), &format!("k{n}"))).collect();
    let in_half = |shard: i32| shard < OUTBOX_SHARDS / 2;
    let expected: Vec<_> =
        events.iter().filter(|event| in_half(event.shard())).map(|event| event.envelope.event_id.clone()).collect();
    store.stage_alone(events).await.unwrap();
    let half: Vec<_> = leases.into_iter().filter(|lease| in_half(lease.resource[7..].parse().unwrap())).collect();
    assert_eq!(event_ids(&store.take_outgoing(&half, 100, NOW).await.unwrap()), expected);
    assert!(store.take_outgoing(&[], 100, NOW).await.unwrap().is_empty());
}

pub async fn results_under_a_lost_lease_are_left_alone(store: &Fixture) {
    let leases = all_shards(store, ME).await;
    store.stage_alone(vec![staged("e1")]).await.unwrap();
    let taken = store.take_outgoing(&leases, 10, NOW).await.unwrap();
    store.remove_instance(ME, NOW).await.unwrap();
    let theirs = all_shards(store, "instance-2").await;
    store.settle_outgoing(&leases, vec![result(&taken[0], published())], NOW).await.unwrap();
    assert_eq!(produced(store).await[0].status, Status::Publishing);
    assert!(store.take_outgoing(&leases, 10, NOW).await.unwrap().is_empty());
    assert_eq!(store.recover_outgoing(&leases, NOW).await.unwrap(), 0);
    assert_eq!(store.recover_outgoing(&theirs, NOW).await.unwrap(), 1);
}

pub async fn what_an_earlier_owner_left_is_taken_again(store: &Fixture) {
    let leases = all_shards(store, ME).await;
    store.stage_alone(vec![staged("e1"), staged("e2"), staged("e3")]).await.unwrap();
    let taken = store.take_outgoing(&leases, 2, NOW).await.unwrap();
    store.settle_outgoing(&leases, vec![result(&taken[0], published())], NOW).await.unwrap();
    store.remove_instance(ME, NOW).await.unwrap();
    let theirs = all_shards(store, "instance-2").await;
    assert_eq!(store.recover_outgoing(&theirs, after(5)).await.unwrap(), 1);
    assert_eq!(produced(store).await[1].status, Status::Pending);
    assert_eq!(event_ids(&store.take_outgoing(&theirs, 10, after(5)).await.unwrap()), ["e2", "e3"]);
}

pub async fn the_next_time_is_of_a_row_that_can_go(store: &Fixture) {
    let leases = all_shards(store, ME).await;
    assert_eq!(store.next_outgoing_at(&leases).await.unwrap(), None);
    store.stage_alone(vec![staged_with_key("e1", "a"), staged_with_key("e2", "a")]).await.unwrap();
    assert_eq!(store.next_outgoing_at(&leases).await.unwrap(), Some(NOW));
    let first = store.take_outgoing(&leases, 1, NOW).await.unwrap();
    store.settle_outgoing(&leases, vec![result(&first[0], retry(10))], NOW).await.unwrap();
    // The second is due, and held by the first.
    assert_eq!(store.next_outgoing_at(&leases).await.unwrap(), Some(after(10)));
}
