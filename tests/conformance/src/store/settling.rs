//! Settling: what becomes of an event after an attempt, and only while its claim stands.

use std::{sync::Arc, time::Duration};

use tracked_events::store::{
    AttemptStatus, ConsumptionStatus as Status, Disposition, DueRequest, EventKind, InboxState, Outcome,
    PartitionScope, ProductionStatus, SettleBatch, Settlement,
};

use crate::{Fixture, given::*};

pub async fn success_is_processed_with_its_attempt(store: &Fixture) {
    let done = running(store, "e1").await;
    assert!(settle(store, vec![done.clone()]).await.is_empty());
    let row = consumed(store, done.id).await;
    assert_eq!((row.status, row.processed_at, row.processing_time_ms), (Status::Processed, Some(after(1)), Some(1000)));
    assert_eq!((row.retry_count, row.error_message, row.payload), (0, None, envelope("e1").payload));
    assert!(open_work(store, done.id).await.is_none());
    let attempts = store.attempts(&[done.id]).await.unwrap();
    let [attempt] = &attempts[..] else { panic!("{attempts:?}") };
    assert_eq!((attempt.attempt_number, attempt.status), (1, AttemptStatus::Success));
    assert_eq!((attempt.handler_name.as_str(), attempt.instance_id.as_str()), (LISTENER, ME));
    assert_eq!((attempt.started_at, attempt.completed_at), (NOW, after(1)));
    assert_eq!((attempt.processing_time_ms, attempt.retry_delay_ms), (1000, None));
}

pub async fn a_failure_is_due_again(store: &Fixture) {
    let failed = ended(&running(store, "e1").await, retry());
    assert!(settle(store, vec![failed.clone()]).await.is_empty());
    let row = consumed(store, failed.id).await;
    assert_eq!((row.status, row.retry_count, row.processed_at), (Status::Failed, 1, None));
    assert_eq!(row.error_message.as_deref(), Some("the mail server is away"));
    let open = open_work(store, failed.id).await.unwrap();
    assert_eq!((open.state, open.due_at), (InboxState::Due, after(5)));
    let attempts = store.attempts(&[failed.id]).await.unwrap();
    assert_eq!((attempts[0].status, attempts[0].retry_delay_ms), (AttemptStatus::Failed, Some(4000)));
}

fn retry() -> Disposition {
    Disposition::Retry { due_at: after(5), delay: Duration::from_secs(4) }
}

pub async fn a_release_is_received_again(store: &Fixture) {
    let released = Settlement {
        disposition: Disposition::Release { due_at: after(60) },
        attempt: None,
        ..running(store, "e1").await
    };
    assert!(settle(store, vec![released.clone()]).await.is_empty());
    let row = consumed(store, released.id).await;
    assert_eq!((row.status, row.retry_count), (Status::Received, 0));
    let open = open_work(store, released.id).await.unwrap();
    assert_eq!((open.state, open.due_at), (InboxState::Waiting, after(60)));
    assert!(store.attempts(&[released.id]).await.unwrap().is_empty());
}

pub async fn a_hold_waits_for_its_key(store: &Fixture) {
    let held =
        Settlement { disposition: Disposition::Hold, key_hash: Some(7), attempt: None, ..running(store, "e1").await };
    assert!(settle(store, vec![held.clone()]).await.is_empty());
    assert_eq!(status(store, held.id).await, Status::Received);
    assert_eq!(open_work(store, held.id).await.unwrap().state, InboxState::Held);
    let keys = store.open_keys(GROUP, &PartitionScope::Any).await.unwrap();
    assert_eq!((keys[0].key_hash, keys[0].held), (7, 1));
}

pub async fn a_malformed_event_is_for_review_and_frees_its_id(store: &Fixture) {
    let malformed = Settlement { disposition: Disposition::Invalid, ..running(store, "e1").await };
    assert!(settle(store, vec![malformed.clone()]).await.is_empty());
    let row = consumed(store, malformed.id).await;
    assert_eq!((row.status, row.payload), (Status::Invalid, envelope("e1").payload));
    assert_eq!(open_work(store, malformed.id).await.unwrap().state, InboxState::Review);
    assert!(matches!(admit(store, vec![arrival("e1")]).await.outcomes[0], Outcome::Run(_)));
}

pub async fn the_last_failure_stages_its_dead_letter(store: &Fixture) {
    let mut letter = staged("dl:send_confirmation:e1:0");
    letter.kind = EventKind::DeadLetter;
    letter.topic = "booking-confirmed.dlq".into();
    let failed = Settlement {
        disposition: Disposition::DeadLetter(Box::new(letter)),
        retry_count: 3,
        ..running(store, "e1").await
    };
    assert!(settle(store, vec![failed.clone()]).await.is_empty());
    let row = consumed(store, failed.id).await;
    assert_eq!((row.status, row.retry_count), (Status::FailedMaxRetry, 3));
    assert_eq!(open_work(store, failed.id).await.unwrap().state, InboxState::Review);
    let letters = produced(store).await;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].kind, letters[0].status), (EventKind::DeadLetter, ProductionStatus::Pending));
    assert_eq!(letters[0].topic, "booking-confirmed.dlq");
    assert_eq!(store.backlog().await.unwrap().outbox_pending, 1);
    // Nothing is staged by a settlement that is stale.
    assert_eq!(settle(store, vec![failed.clone()]).await, [failed.id]);
    assert_eq!(produced(store).await.len(), 1);
}

pub async fn a_settled_row_cannot_be_settled_again(store: &Fixture) {
    let done = running(store, "e1").await;
    assert!(settle(store, vec![done.clone()]).await.is_empty());
    let dispositions = [Disposition::Processed, retry(), Disposition::Invalid, Disposition::Release { due_at: NOW }];
    for disposition in dispositions {
        let again = Settlement { disposition, ..done.clone() };
        assert_eq!(settle(store, vec![again]).await, [done.id]);
        assert_eq!(status(store, done.id).await, Status::Processed);
        assert!(open_work(store, done.id).await.is_none());
    }
    assert_eq!(store.attempts(&[done.id]).await.unwrap().len(), 1);
    // Its key is still known.
    assert!(matches!(admit(store, vec![arrival("e1")]).await.outcomes[0], Outcome::Duplicate { .. }));
}

pub async fn a_row_outside_the_claim_is_left_alone(store: &Fixture) {
    let (mine, other) = (running(store, "e1").await, running(store, "e2").await);
    for disposition in [Disposition::Processed, retry()] {
        let crossed = Settlement { token: other.token, disposition, ..mine.clone() };
        assert_eq!(settle(store, vec![crossed]).await, [mine.id]);
    }
    assert_eq!(status(store, mine.id).await, Status::Processing);
}

pub async fn a_finished_claim_covers_nothing(store: &Fixture) {
    let done = running(store, "e1").await;
    finish(store, done.token).await;
    assert_eq!(settle(store, vec![done.clone()]).await, [done.id]);
    assert_eq!(status(store, done.id).await, Status::Processing);
}

pub async fn another_instances_claim_is_left_alone(store: &Fixture) {
    let done = running(store, "e1").await;
    let batch = SettleBatch {
        instance: "instance-2".into(),
        settlements: vec![done.clone()],
        finished: vec![done.token],
        now: NOW,
    };
    assert_eq!(store.settle(Arc::new(batch)).await.unwrap(), [done.id]);
    assert!(settle(store, vec![done]).await.is_empty());
}

pub async fn a_release_without_an_attempt_keeps_the_last_error(store: &Fixture) {
    let failed = ended(&running(store, "e1").await, retry());
    settle(store, vec![failed.clone()]).await;
    let token = claim(store).await;
    let released = Settlement {
        token,
        queued: true,
        retry_count: 1,
        attempt: None,
        disposition: Disposition::Release { due_at: NOW },
        ..failed.clone()
    };
    assert!(settle(store, vec![released]).await.is_empty());
    let row = consumed(store, failed.id).await;
    assert_eq!((row.status, row.error_message.as_deref()), (Status::Received, Some("the mail server is away")));
}

async fn claim(store: &Fixture) -> tracked_events::store::ClaimToken {
    let request = DueRequest {
        group: GROUP.into(),
        instance: ME.into(),
        room: vec![(LISTENER.into(), 10)],
        scope: PartitionScope::Any,
        now: after(3600),
    };
    store.claim_due(request).await.unwrap().token.unwrap()
}

pub async fn attempts_are_numbered_in_their_order(store: &Fixture) {
    let first = ended(&running(store, "e1").await, retry());
    settle(store, vec![first.clone()]).await;
    for retry_count in 1..3 {
        let token = claim(store).await;
        let next = Settlement { token, queued: true, retry_count, ..first.clone() };
        assert!(settle(store, vec![next]).await.is_empty());
    }
    let last = Settlement {
        token: claim(store).await,
        queued: true,
        retry_count: 3,
        disposition: Disposition::Processed,
        ..first.clone()
    };
    assert!(settle(store, vec![last]).await.is_empty());
    let attempts = store.attempts(&[first.id]).await.unwrap();
    assert_eq!(attempts.iter().map(|attempt| attempt.attempt_number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let row = consumed(store, first.id).await;
    assert_eq!((row.status, row.retry_count), (Status::Processed, 3));
    assert!(open_work(store, first.id).await.is_none());
}

pub async fn one_stale_row_does_not_stop_its_batch(store: &Fixture) {
    let admitted = admit(store, (0..20).map(|n| arrival(&format!("e{n}"))).collect()).await;
    let token = admitted.token.unwrap();
    let all: Vec<_> = admitted
        .outcomes
        .iter()
        .enumerate()
        .map(|(n, outcome)| settlement(id_of(outcome), token, &format!("e{n}"), Disposition::Processed))
        .collect();
    assert!(settle(store, vec![all[7].clone()]).await.is_empty());
    assert_eq!(settle(store, all.clone()).await, [all[7].id]);
    for done in &all {
        assert_eq!(status(store, done.id).await, Status::Processed);
        assert_eq!(store.attempts(&[done.id]).await.unwrap().len(), 1);
    }
}
