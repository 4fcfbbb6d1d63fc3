//! Several processes on one database.

use std::sync::Arc;

use tracked_events::store::{ConsumptionStatus as Status, HeldRequest, Outcome, PartitionScope, Placement};

use crate::{Fixture, given::*};

pub async fn two_processes_admit_an_event_once(store: &Fixture) {
    let other = store.another_process().await;
    let admissions: Vec<_> = [Arc::clone(&store.store), other]
        .into_iter()
        .map(|store| {
            tokio::spawn(async move {
                let mut outcomes = Vec::new();
                for batch in 0..10 {
                    let arrivals = (0..20).map(|n| arrival(&format!("e{batch}-{n}"))).collect();
                    outcomes.extend(admit(&store, arrivals).await.outcomes);
                }
                outcomes
            })
        })
        .collect();
    let mut runs = 0;
    for admission in admissions {
        runs += admission.await.unwrap().iter().filter(|outcome| matches!(outcome, Outcome::Run(_))).count();
    }
    assert_eq!(runs, 200);
}

pub async fn two_processes_write_side_by_side(store: &Fixture) {
    let other = store.another_process().await;
    let writers: Vec<_> = [Arc::clone(&store.store), other]
        .into_iter()
        .enumerate()
        .map(|(process, store)| {
            tokio::spawn(async move {
                for n in 0..20 {
                    store.stage_alone(vec![staged(&format!("alone-{process}-{n}"))]).await.unwrap();
                    let mut transaction = store.begin().await.unwrap();
                    store.stage(&mut transaction.tx(), &[staged(&format!("tx-{process}-{n}"))]).await.unwrap();
                    transaction.commit().await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(produced(store).await.len(), 80);
}

/// A key's events are in the order of their ids, whichever process admitted them.
pub async fn work_that_changes_hands_stays_in_order(store: &Fixture) {
    let other = store.another_process().await;
    let hold = |id: &str| vec![keyed(id, 7, Placement::Hold)];
    let take_over = PartitionScope::Owned(vec![(TOPIC.into(), 0)]);
    let mut rows = vec![id_of(&admit(store, hold("e1")).await.outcomes[0])];
    other.open_keys(GROUP, &take_over).await.unwrap();
    rows.push(id_of(&admit(&other, hold("e2")).await.outcomes[0]));
    store.open_keys(GROUP, &take_over).await.unwrap();
    rows.push(id_of(&admit(store, hold("e3")).await.outcomes[0]));
    let request = HeldRequest {
        group: GROUP.into(),
        instance: ME.into(),
        listener: LISTENER.into(),
        key_hash: 7,
        limit: 10,
        now: NOW,
    };
    let claimed = store.claim_held(request).await.unwrap();
    assert_eq!(claimed.deliveries.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), rows);
    assert_eq!(status(store, rows[0]).await, Status::Processing);
}
