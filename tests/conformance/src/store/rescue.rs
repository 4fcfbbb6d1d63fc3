//! Taking back the work of an instance that is gone.

use std::{collections::BTreeMap, sync::Arc};

use tracked_events::store::{
    AttemptStatus, ConsumptionStatus as Status, Disposition, DueRequest, EventKind, InboxState, PartitionScope,
    Placement, RescueRequest, Settlement,
};

use crate::{Fixture, given::*};

fn request(instance: &str) -> RescueRequest {
    RescueRequest { instance: instance.into(), max_abandoned: 3, dead_letters: Arc::default(), now: after(30) }
}

/// The instance is gone, and starts again.
async fn rescue(store: &Fixture) -> u32 {
    let rescued = store.rescue(request(ME)).await.unwrap();
    register(store, ME).await;
    rescued
}

fn due() -> DueRequest {
    DueRequest {
        group: GROUP.into(),
        instance: ME.into(),
        room: vec![(LISTENER.into(), 100)],
        scope: PartitionScope::Any,
        now: after(3600),
    }
}

pub async fn running_rows_are_received_again(store: &Fixture) {
    let admitted = admit(store, vec![arrival("e1"), keyed("e2", 7, Placement::Run)]).await;
    assert_eq!(rescue(store).await, 2);
    for outcome in &admitted.outcomes {
        let id = id_of(outcome);
        assert_eq!(status(store, id).await, Status::Received);
        let open = open_work(store, id).await.unwrap();
        assert_eq!((open.state, open.due_at, open.abandoned_count), (InboxState::Waiting, after(30), 1));
        let attempts = store.attempts(&[id]).await.unwrap();
        assert_eq!((attempts.len(), attempts[0].status), (1, AttemptStatus::Abandoned));
        assert_eq!((attempts[0].started_at, attempts[0].completed_at), (NOW, after(30)));
    }
    // What is taken back once is not taken back again.
    assert_eq!(rescue(store).await, 0);
    let claimed = store.claim_due(due()).await.unwrap();
    assert_eq!(claimed.deliveries.iter().map(|delivery| delivery.abandoned_count).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(claimed.deliveries[1].key_hash, Some(7));
}

pub async fn claimed_rows_are_received_again(store: &Fixture) {
    admit(store, vec![placed("e1", Placement::Wait)]).await;
    let claimed = store.claim_due(due()).await.unwrap();
    let id = claimed.deliveries[0].id;
    assert_eq!(rescue(store).await, 1);
    assert_eq!(status(store, id).await, Status::Received);
    assert_eq!(open_work(store, id).await.unwrap().state, InboxState::Waiting);
    assert_eq!(store.claim_due(due()).await.unwrap().deliveries[0].id, id);
}

pub async fn a_dead_instances_settlement_is_stale(store: &Fixture) {
    let first = running(store, "e1").await;
    admit(store, vec![placed("e2", Placement::Wait)]).await;
    let claimed = store.claim_due(due()).await.unwrap();
    let queued = settlement(claimed.deliveries[0].id, claimed.token.unwrap(), "e2", Disposition::Processed);
    let queued = Settlement { queued: true, ..queued };
    rescue(store).await;
    assert_eq!(settle(store, vec![first.clone(), queued.clone()]).await, [first.id, queued.id]);
    // Nor after somebody else has taken them.
    assert_eq!(store.claim_due(due()).await.unwrap().deliveries.len(), 2);
    assert_eq!(settle(store, vec![first.clone(), queued.clone()]).await, [first.id, queued.id]);
    assert_eq!(status(store, first.id).await, Status::Processing);
}

pub async fn settled_rows_stay_as_they_are(store: &Fixture) {
    let admitted = admit(store, (0..4).map(|n| arrival(&format!("e{n}"))).collect()).await;
    let rows: Vec<_> = admitted.outcomes.iter().map(id_of).collect();
    let done = |n: usize, disposition| settlement(rows[n], admitted.token.unwrap(), &format!("e{n}"), disposition);
    let settled = vec![
        done(0, Disposition::Processed),
        done(1, Disposition::Invalid),
        done(2, Disposition::Release { due_at: after(99) }),
    ];
    assert!(settle(store, settled).await.is_empty());
    assert_eq!(rescue(store).await, 1);
    let statuses = [Status::Processed, Status::Invalid, Status::Received, Status::Received];
    for (&id, expected) in rows.iter().zip(statuses) {
        assert_eq!(status(store, id).await, expected);
    }
    assert_eq!(open_work(store, rows[2]).await.unwrap().due_at, after(99));
}

pub async fn an_event_that_kills_its_process_is_dead_lettered(store: &Fixture) {
    let id = id_of(&admit(store, vec![arrival("e1")]).await.outcomes[0]);
    for _ in 0..2 {
        assert_eq!(rescue(store).await, 1);
        assert_eq!(status(store, id).await, Status::Received);
        let claimed = store.claim_due(due()).await.unwrap();
        assert!(store.mark_started(id, claimed.token.unwrap()).await.unwrap());
    }
    assert_eq!(rescue(store).await, 1);
    let row = consumed(store, id).await;
    assert_eq!(row.status, Status::FailedMaxRetry);
    assert!(row.error_message.unwrap().contains("died 3 times"));
    let open = open_work(store, id).await.unwrap();
    assert_eq!((open.state, open.abandoned_count), (InboxState::Review, 3));
    let attempts = store.attempts(&[id]).await.unwrap();
    assert_eq!(attempts.iter().map(|attempt| attempt.attempt_number).collect::<Vec<_>>(), [1, 2, 3]);
    let letters = produced(store).await;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].kind, letters[0].topic.as_str()), (EventKind::DeadLetter, "booking-confirmed.dlq"));
    assert_eq!(letters[0].payload, envelope("e1").payload);
    assert_eq!(letters[0].event_id, "dl:send_confirmation:e1:0");
    assert!(store.claim_due(due()).await.unwrap().deliveries.is_empty());
}

pub async fn a_dead_letter_of_a_rescue_goes_where_the_listener_says(store: &Fixture) {
    admit(store, vec![arrival("e1")]).await;
    let topics = BTreeMap::from([((GROUP.into(), LISTENER.into()), "{topic}.refused".into())]);
    let request = RescueRequest { max_abandoned: 1, dead_letters: Arc::new(topics), ..request(ME) };
    assert_eq!(store.rescue(request).await.unwrap(), 1);
    assert_eq!(produced(store).await[0].topic, "booking-confirmed.refused");
}

pub async fn other_instances_are_left_alone(store: &Fixture) {
    let done = running(store, "e1").await;
    assert_eq!(store.rescue(request("instance-2")).await.unwrap(), 0);
    assert!(settle(store, vec![done]).await.is_empty());
}

pub async fn rows_of_a_key_are_taken_back_in_their_order(store: &Fixture) {
    let arrivals = vec![keyed("e1", 7, Placement::Run), keyed("e2", 7, Placement::Run), arrival("e3")];
    let admitted = admit(store, arrivals).await;
    let ids: Vec<_> = admitted.outcomes.iter().map(id_of).collect();
    assert_eq!(rescue(store).await, 3);
    for _ in 0..2 {
        for (&id, expected) in ids.iter().zip([InboxState::Waiting, InboxState::Held, InboxState::Waiting]) {
            assert_eq!(open_work(store, id).await.unwrap().state, expected);
        }
        let claimed = store.claim_due(due()).await.unwrap();
        assert_eq!(claimed.deliveries.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [ids[0], ids[2]]);
        assert_eq!(rescue(store).await, 2);
    }
}

pub async fn a_suspect_that_was_not_started_is_innocent(store: &Fixture) {
    let id = id_of(&admit(store, vec![arrival("e1")]).await.outcomes[0]);
    for _ in 0..5 {
        assert_eq!(rescue(store).await, 1);
        assert_eq!(status(store, id).await, Status::Received);
        assert_eq!(open_work(store, id).await.unwrap().abandoned_count, 1);
        assert_eq!(store.claim_due(due()).await.unwrap().deliveries.len(), 1);
    }
    assert_eq!(store.attempts(&[id]).await.unwrap().len(), 1);
}

pub async fn a_start_is_marked_under_the_claim_only(store: &Fixture) {
    let id = id_of(&admit(store, vec![arrival("e1")]).await.outcomes[0]);
    rescue(store).await;
    let dead = store.claim_due(due()).await.unwrap().token.unwrap();
    rescue(store).await;
    assert!(!store.mark_started(id, dead).await.unwrap());
    let token = store.claim_due(due()).await.unwrap().token.unwrap();
    assert!(!store.mark_started(id, dead).await.unwrap());
    assert!(store.mark_started(id, token).await.unwrap());
    assert_eq!(open_work(store, id).await.unwrap().state, InboxState::Started);
    let done = Settlement { queued: true, ..settlement(id, token, "e1", Disposition::Processed) };
    assert!(settle(store, vec![done]).await.is_empty());
    assert!(open_work(store, id).await.is_none());
}
