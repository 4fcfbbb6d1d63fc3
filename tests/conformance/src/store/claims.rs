//! Claiming rows that wait.

use std::{collections::HashSet, sync::Arc};

use tracked_events::{
    envelope::{Envelope, Header},
    store::{
        Arrival, Claimed, ConsumptionStatus as Status, Disposition, DueRequest, HeldRequest, InboxState, LogId,
        PartitionScope, Placement, Settlement,
    },
};

use crate::{Fixture, given::*};

fn due_at(now: tracked_events::Timestamp) -> DueRequest {
    DueRequest {
        group: GROUP.into(),
        instance: ME.into(),
        room: vec![(LISTENER.into(), 100)],
        scope: PartitionScope::Any,
        now,
    }
}

fn ids(claimed: &Claimed) -> Vec<LogId> {
    claimed.deliveries.iter().map(|delivery| delivery.id).collect()
}

/// Admits events that then wait until so many seconds from now.
async fn waiting(store: &Fixture, due: &[u64]) -> Vec<LogId> {
    let admitted = admit(store, (0..due.len()).map(|n| arrival(&format!("e{n}"))).collect()).await;
    let token = admitted.token.unwrap();
    let rows: Vec<_> = admitted.outcomes.iter().map(id_of).collect();
    let releases = rows.iter().zip(due).enumerate().map(|(n, (&id, &seconds))| Settlement {
        attempt: None,
        ..settlement(id, token, &format!("e{n}"), Disposition::Release { due_at: after(seconds) })
    });
    assert!(settle(store, releases.collect()).await.is_empty());
    rows
}

pub async fn rows_are_claimed_when_they_are_due(store: &Fixture) {
    let rows = waiting(store, &[10, 20]).await;
    let early = store.claim_due(due_at(after(9))).await.unwrap();
    assert_eq!((early.token, early.deliveries.len()), (None, 0));
    let claimed = store.claim_due(due_at(after(10))).await.unwrap();
    assert_eq!(ids(&claimed), [rows[0]]);
    assert_eq!(claimed.token, Some(claimed.deliveries[0].token));
    assert_eq!(status(store, rows[0]).await, Status::Processing);
    assert_eq!(open_work(store, rows[0]).await.unwrap().state, InboxState::Claimed);
    assert_eq!(status(store, rows[1]).await, Status::Received);
}

pub async fn due_rows_come_in_due_order_up_to_the_room(store: &Fixture) {
    let rows = waiting(store, &[50, 10, 40, 20, 30]).await;
    let request = DueRequest { room: vec![(LISTENER.into(), 2)], ..due_at(after(60)) };
    // Chosen by due time, handed out by id.
    assert_eq!(ids(&store.claim_due(request.clone()).await.unwrap()), [rows[1], rows[3]]);
    assert_eq!(ids(&store.claim_due(request.clone()).await.unwrap()), [rows[2], rows[4]]);
    assert_eq!(ids(&store.claim_due(request).await.unwrap()), [rows[0]]);
}

pub async fn each_listener_is_claimed_up_to_its_own_room(store: &Fixture) {
    let listeners = ["a", "b", "c"];
    let arrivals =
        (0..9).map(|n| Arrival { listener: listeners[n % 3].into(), ..placed(&format!("e{n}"), Placement::Wait) });
    admit(store, arrivals.collect()).await;
    let room = vec![("a".into(), 2), ("b".into(), 0), ("missing".into(), 5), ("c".into(), 9)];
    let claimed = store.claim_due(DueRequest { room, ..due_at(NOW) }).await.unwrap();
    let of = |listener: &str| claimed.deliveries.iter().filter(|delivery| delivery.listener == listener).count();
    assert_eq!(listeners.map(of), [2, 0, 3]);
    let other_group = DueRequest { group: "other".into(), ..due_at(NOW) };
    assert!(store.claim_due(other_group).await.unwrap().deliveries.is_empty());
}

pub async fn only_owned_partitions_are_claimed(store: &Fixture) {
    let partitions = [Some(0), Some(1), None, Some(0)];
    let arrivals = partitions.iter().enumerate().map(|(n, &partition)| Arrival {
        partition,
        topic: if n == 3 { "other".into() } else { TOPIC.into() },
        ..placed(&format!("e{n}"), Placement::Wait)
    });
    let rows: Vec<_> = admit(store, arrivals.collect()).await.outcomes.iter().map(id_of).collect();
    let scope = |owned: &[(&str, i32)]| {
        PartitionScope::Owned(owned.iter().map(|(topic, partition)| ((*topic).to_owned(), *partition)).collect())
    };
    let claim = |owned| store.claim_due(DueRequest { scope: owned, ..due_at(NOW) });
    assert_eq!(ids(&claim(scope(&[(TOPIC, 1), (TOPIC, 5)])).await.unwrap()), [rows[1], rows[2]]);
    assert_eq!(ids(&claim(scope(&[])).await.unwrap()), [0; 0]);
    assert_eq!(ids(&claim(scope(&[("other", 0)])).await.unwrap()), [rows[3]]);
    assert_eq!(ids(&claim(PartitionScope::Any).await.unwrap()), [rows[0]]);
}

pub async fn a_claimed_row_is_not_claimed_twice(store: &Fixture) {
    waiting(store, &[1, 2]).await;
    assert_eq!(store.claim_due(due_at(after(5))).await.unwrap().deliveries.len(), 2);
    assert_eq!(store.claim_due(due_at(after(5))).await.unwrap().deliveries.len(), 0);
    assert_eq!(store.next_due_at(GROUP, &[LISTENER.into()]).await.unwrap(), None);
}

pub async fn a_claimed_row_settles_under_its_token_only(store: &Fixture) {
    let first = running(store, "e1").await;
    let released = Settlement { disposition: Disposition::Release { due_at: NOW }, attempt: None, ..first.clone() };
    settle(store, vec![released]).await;
    let claimed = store.claim_due(due_at(NOW)).await.unwrap();
    // The first claim still stands, but the row is another's now.
    assert_eq!(settle(store, vec![first.clone()]).await, [first.id]);
    let queued = Settlement { queued: true, ..first.clone() };
    assert_eq!(settle(store, vec![queued.clone()]).await, [first.id]);
    assert_eq!(status(store, first.id).await, Status::Processing);
    let rightful = Settlement { token: claimed.token.unwrap(), ..queued };
    assert!(settle(store, vec![rightful]).await.is_empty());
    assert_eq!(status(store, first.id).await, Status::Processed);
    assert!(open_work(store, first.id).await.is_none());
}

pub async fn a_delivery_says_all_that_is_known(store: &Fixture) {
    let sent = Envelope {
        key: Some(b"42".to_vec()),
        causation_id: Some("e0".into()),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        headers: vec![Header::new("tenant", "blue"), Header::new("odd", vec![0xff, 0])],
        ..envelope("e1")
    };
    let arrival =
        Arrival { partition: Some(3), offset: Some(77), replay_id: "replay-1".into(), ..arrival_of(sent.clone()) };
    let arrival = Arrival { key_hash: Some(-5), placement: Placement::Wait, ..arrival };
    let id = id_of(&admit(store, vec![arrival]).await.outcomes[0]);
    let delivery = store.claim_due(due_at(NOW)).await.unwrap().deliveries.remove(0);
    assert_eq!(*delivery.envelope, sent);
    assert_eq!((delivery.id, delivery.topic.as_str(), delivery.listener.as_str()), (id, TOPIC, LISTENER));
    assert_eq!((delivery.partition, delivery.offset, delivery.key_hash), (Some(3), Some(77), Some(-5)));
    assert_eq!((delivery.retry_count, delivery.redrive_count, delivery.abandoned_count), (0, 0, 0));
    assert_eq!((delivery.replay_id.as_str(), delivery.received_at), ("replay-1", NOW));
}

pub async fn held_rows_of_a_key_come_in_their_order(store: &Fixture) {
    let arrivals = (0..10).map(|n| keyed(&format!("e{n}"), n % 2, Placement::Hold));
    let rows: Vec<_> = admit(store, arrivals.collect()).await.outcomes.iter().map(id_of).collect();
    let request = HeldRequest {
        group: GROUP.into(),
        instance: ME.into(),
        listener: LISTENER.into(),
        key_hash: 1,
        limit: 3,
        now: NOW,
    };
    let claimed = store.claim_held(request.clone()).await.unwrap();
    assert_eq!(ids(&claimed), [rows[1], rows[3], rows[5]]);
    assert_eq!(status(store, rows[1]).await, Status::Processing);
    assert_eq!(ids(&store.claim_held(request.clone()).await.unwrap()), [rows[7], rows[9]]);
    let none = store.claim_held(request).await.unwrap();
    assert_eq!((none.token, none.deliveries.len()), (None, 0));
    // Held rows are never taken as due.
    assert!(store.claim_due(due_at(after(60))).await.unwrap().deliveries.is_empty());
}

pub async fn open_keys_count_heads_and_held(store: &Fixture) {
    let mut elsewhere = keyed("e5", 9, Placement::Hold);
    elsewhere.partition = Some(1);
    let arrivals = vec![
        keyed("e1", 7, Placement::Wait),
        keyed("e2", 7, Placement::Hold),
        keyed("e3", 7, Placement::Hold),
        keyed("e4", 8, Placement::Wait),
        elsewhere,
        placed("e6", Placement::Wait),
    ];
    admit(store, arrivals).await;
    let counts = async |scope: PartitionScope| {
        let keys = store.open_keys(GROUP, &scope).await.unwrap();
        let mut keys: Vec<_> = keys.into_iter().map(|key| (key.key_hash, key.heads, key.held)).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(counts(PartitionScope::Any).await, [(7, 1, 2), (8, 1, 0), (9, 0, 1)]);
    assert_eq!(counts(PartitionScope::Owned(vec![(TOPIC.into(), 1)])).await, [(9, 0, 1)]);
    // Claimed rows are heads still; rows for review are none.
    store.claim_due(DueRequest { room: vec![(LISTENER.into(), 1)], ..due_at(NOW) }).await.unwrap();
    assert_eq!(counts(PartitionScope::Owned(vec![(TOPIC.into(), 0)])).await, [(7, 1, 2), (8, 1, 0)]);
}

pub async fn the_next_due_time_is_the_earliest(store: &Fixture) {
    let listeners = [LISTENER.to_owned(), "other".to_owned()];
    assert_eq!(store.next_due_at(GROUP, &listeners).await.unwrap(), None);
    waiting(store, &[50, 20]).await;
    admit(store, vec![keyed("held", 7, Placement::Hold)]).await;
    assert_eq!(store.next_due_at(GROUP, &listeners).await.unwrap(), Some(after(20)));
    assert_eq!(store.next_due_at(GROUP, &listeners[1..]).await.unwrap(), None);
    assert_eq!(store.next_due_at("other", &listeners).await.unwrap(), None);
}

pub async fn concurrent_claims_share_no_row(store: &Fixture) {
    admit(store, (0..200).map(|n| placed(&format!("e{n}"), Placement::Wait)).collect()).await;
    let claims: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store.store);
            let request = DueRequest { room: vec![(LISTENER.into(), 30)], ..due_at(NOW) };
            tokio::spawn(async move { store.claim_due(request).await.unwrap() })
        })
        .collect();
    let mut seen = HashSet::new();
    for claim in claims {
        for id in ids(&claim.await.unwrap()) {
            assert!(seen.insert(id), "row {id} was claimed twice");
        }
    }
    assert_eq!(seen.len(), 200);
}
