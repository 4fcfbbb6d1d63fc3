//! Topics that live in the production log.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tracked_events::{
    ErrorKind,
    broker::{EmbeddedLease, Position, TopicPartition},
    listen::Start,
    store::{Lease, OUTBOX_SHARDS, ProductionStatus, SharedStore},
};

use crate::{Fixture, given::*};

const PARTITIONS: u32 = 4;

async fn all_shards(store: &SharedStore) -> Vec<Lease> {
    register(store, ME).await;
    let resources: Vec<_> = (0..OUTBOX_SHARDS).map(|shard| format!("outbox/{shard}")).collect();
    store.acquire(&resources, ME, NOW).await.unwrap()
}

async fn publish(store: &SharedStore, leases: &[Lease]) -> u32 {
    store.publish_embedded(leases, 1000, PARTITIONS, NOW).await.unwrap()
}

fn partition(partition: i32) -> TopicPartition {
    TopicPartition { topic: TOPIC.into(), partition }
}

/// The offsets of each partition, in the order of the rows.
async fn offsets(store: &SharedStore) -> BTreeMap<i32, Vec<i64>> {
    let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for row in produced(store).await {
        offsets.entry(row.partition_number.unwrap()).or_default().push(row.offset.unwrap());
    }
    offsets
}

pub async fn a_topic_keeps_its_partitions(store: &Fixture) {
    let topics = [TOPIC.to_owned(), "other".to_owned()];
    let made = store.ensure_topics(&topics[..1], 3, NOW).await.unwrap();
    assert_eq!(made, [partition(0), partition(1), partition(2)]);
    let again = store.ensure_topics(&topics, 5, NOW).await.unwrap();
    assert_eq!(again.iter().filter(|partition| partition.topic == TOPIC).count(), 3);
    assert_eq!(again.iter().filter(|partition| partition.topic == "other").count(), 5);
}

pub async fn offsets_are_dense_and_in_order(store: &Fixture) {
    let leases = all_shards(store).await;
    for batch in 0..3 {
        let events = (0..50).map(|n| staged_with_key(&format!("e{batch}-{n}"), &format!("k{}", n % 7)));
        store.stage_alone(events.chain([staged(&format!("keyless-{batch}"))]).collect()).await.unwrap();
        assert_eq!(publish(store, &leases).await, 51);
    }
    assert_eq!(publish(store, &leases).await, 0);
    for (partition, offsets) in offsets(store).await {
        assert!((0..4).contains(&partition));
        assert!(offsets.iter().copied().eq(0..i64::try_from(offsets.len()).unwrap()), "{offsets:?}");
    }
    let rows = produced(store).await;
    assert!(rows.iter().all(|row| row.status == ProductionStatus::Published && row.published_at == Some(NOW)));
    assert!(store.backlog().await.unwrap().is_empty());
}

pub async fn concurrent_publishers_leave_no_gap(store: &Fixture) {
    let leases = Arc::new(all_shards(store).await);
    let tasks: Vec<_> = (0..6)
        .map(|task| {
            let (store, leases) = (Arc::clone(&store.store), Arc::clone(&leases));
            tokio::spawn(async move {
                for n in 0..20 {
                    let event = staged_with_key(&format!("e{task}-{n}"), &format!("k{n}"));
                    store.stage_alone(vec![event]).await.unwrap();
                    publish(&store, &leases).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    publish(store, &leases).await;
    let mut total = 0;
    for (_, mut offsets) in offsets(store).await {
        offsets.sort_unstable();
        assert!(offsets.iter().copied().eq(0..i64::try_from(offsets.len()).unwrap()), "{offsets:?}");
        total += offsets.len();
    }
    assert_eq!(total, 120);
}

pub async fn a_key_stays_in_its_partition(store: &Fixture) {
    let leases = all_shards(store).await;
    let events = (0..60).map(|n| staged_with_key(&format!("e{n}"), &format!("k{}", n % 6)));
    store.stage_alone(events.collect()).await.unwrap();
    publish(store, &leases).await;
    let mut places: HashMap<Vec<u8>, (i32, i64)> = HashMap::new();
    for row in produced(store).await {
        let place = (row.partition_number.unwrap(), row.offset.unwrap());
        if let Some(before) = places.insert(row.event_key.unwrap(), place) {
            assert!(before.0 == place.0 && before.1 < place.1, "{before:?} {place:?}");
        }
    }
    assert_eq!(places.len(), 6);
}

pub async fn reading_is_shared_fairly(store: &Fixture) {
    let leases = all_shards(store).await;
    let events: Vec<_> = (0..80).map(|n| staged_with_key(&format!("e{n}"), &format!("k{n}"))).collect();
    store.stage_alone(events).await.unwrap();
    publish(store, &leases).await;
    let from: Vec<_> = (0..4).map(|n| (partition(n), 0)).collect();
    let messages = store.read(&from, 8).await.unwrap();
    let of = |wanted: usize| messages.iter().filter(|message| message.partition == wanted).count();
    assert_eq!([0, 1, 2, 3].map(of), [2, 2, 2, 2]);
    let everything = store.read(&from, 1000).await.unwrap();
    assert_eq!(everything.len(), 80);
    for wanted in 0..4 {
        let read: Vec<_> = everything.iter().filter(|message| message.partition == wanted).collect();
        assert!(read.iter().map(|message| message.offset).eq(0..i64::try_from(read.len()).unwrap()));
    }
    // What one partition does not need, another gets.
    let ends = [(partition(0), 1_000_000), (partition(1), 3)];
    let read = store.read(&ends, 6).await.unwrap();
    assert!(read.len() == 6 && read.iter().all(|message| message.partition == 1 && message.offset >= 3), "{read:?}");
    let first = &everything[0];
    assert_eq!(first.envelope.payload, envelope(&first.envelope.event_id).payload);
    assert_eq!(first.envelope.event_type.as_deref(), Some("BOOKING_CONFIRMED"));
}

pub async fn a_group_begins_where_it_says(store: &Fixture) {
    let leases = all_shards(store).await;
    store.stage_alone((0..5).map(|n| staged_with_key(&format!("e{n}"), "a")).collect()).await.unwrap();
    publish(store, &leases).await;
    let at = usize::try_from(produced(store).await[0].partition_number.unwrap()).unwrap();
    let partitions: Vec<_> = (0..4).map(partition).collect();
    let earliest = store.positions("early", &partitions, Start::Earliest, NOW).await.unwrap();
    assert_eq!(earliest, [0, 0, 0, 0]);
    let latest = store.positions("late", &partitions, Start::Latest, NOW).await.unwrap();
    assert_eq!((latest[at], latest.iter().sum::<i64>()), (5, 5));
    // Where it began is written down.
    store.stage_alone(vec![staged_with_key("e9", "a")]).await.unwrap();
    publish(store, &leases).await;
    assert_eq!(store.positions("late", &partitions, Start::Latest, NOW).await.unwrap(), latest);
    assert_eq!(store.positions("early", &partitions, Start::Latest, NOW).await.unwrap(), earliest);
    let lag = store.backlog().await.unwrap().embedded_lag;
    let of = |group: &str| lag.iter().find(|lag| lag.consumer_group == group).unwrap().lag;
    assert_eq!((of("early"), of("late")), (6, 1));
}

async fn group_lease(store: &SharedStore) -> EmbeddedLease {
    register(store, ME).await;
    let resource = format!("group/{GROUP}/{TOPIC}/0");
    let lease = store.acquire(&[resource], ME, NOW).await.unwrap().remove(0);
    EmbeddedLease { group: GROUP.into(), lease: Arc::new(lease) }
}

fn position(offset: i64, lease: EmbeddedLease) -> Position {
    Position::Offset { partition: partition(0), offset, lease: Some(lease) }
}

pub async fn positions_move_with_the_admission(store: &Fixture) {
    let lease = group_lease(store).await;
    let mut admission = batch(vec![arrival("e1")]);
    admission.positions = vec![position(6, lease.clone())];
    store.admit(Arc::new(admission)).await.unwrap();
    let at = async || store.positions(GROUP, &[partition(0)], Start::Earliest, NOW).await.unwrap();
    assert_eq!(at().await, [7]);
    let mut empty = batch(Vec::new());
    empty.positions = vec![position(9, lease.clone())];
    store.admit(Arc::new(empty)).await.unwrap();
    assert_eq!(at().await, [10]);
    let mut late = batch(Vec::new());
    late.positions = vec![position(3, lease)];
    store.admit(Arc::new(late)).await.unwrap();
    assert_eq!(at().await, [10]);
}

pub async fn positions_of_a_lost_lease_do_not_move(store: &Fixture) {
    let lease = group_lease(store).await;
    store.release(std::slice::from_ref(&lease.lease.resource), ME, NOW).await.unwrap();
    let refused = async |id: &str, lease: EmbeddedLease| {
        let mut admission = batch(vec![arrival(id)]);
        admission.positions = vec![position(6, lease)];
        let error = store.admit(Arc::new(admission)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StaleClaim);
    };
    refused("e1", lease.clone()).await;
    register(store, "instance-2").await;
    store.acquire(std::slice::from_ref(&lease.lease.resource), "instance-2", NOW).await.unwrap();
    refused("e2", lease).await;
    assert_eq!(store.positions(GROUP, &[partition(0)], Start::Earliest, NOW).await.unwrap(), [0]);
    // Nothing of the batch was admitted.
    let admitted = admit(store, vec![arrival("e1"), arrival("e2")]).await;
    assert!(admitted.outcomes.iter().all(|outcome| matches!(outcome, tracked_events::store::Outcome::Run(_))));
}

/// A topic went to a broker before it came into this database.
pub async fn rows_under_way_to_a_broker_are_left_alone(store: &Fixture) {
    let leases = all_shards(store).await;
    store.stage_alone(vec![staged_with_key("e1", "a"), staged("e2")]).await.unwrap();
    assert_eq!(store.take_outgoing(&leases, 10, NOW).await.unwrap().len(), 2);
    store.stage_alone(vec![staged_with_key("e3", "a"), staged_with_key("e4", "b")]).await.unwrap();
    // The third waits behind the first of its key.
    assert_eq!(publish(store, &leases).await, 1);
    let rows = produced(store).await;
    assert_eq!(
        rows.iter().map(|row| row.status).collect::<Vec<_>>(),
        [
            ProductionStatus::Publishing,
            ProductionStatus::Publishing,
            ProductionStatus::Pending,
            ProductionStatus::Published,
        ]
    );
    assert_eq!(rows[3].offset, Some(0));
}

pub async fn nothing_is_published_without_the_lease(store: &Fixture) {
    let leases = all_shards(store).await;
    store.stage_alone(vec![staged("e1")]).await.unwrap();
    store.remove_instance(ME, NOW).await.unwrap();
    assert_eq!(publish(store, &leases).await, 0);
    assert_eq!(produced(store).await[0].status, ProductionStatus::Pending);
}
