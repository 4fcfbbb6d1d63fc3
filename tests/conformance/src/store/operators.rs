//! What operators can do, and that it is on record.

use tracked_events::store::{
    ConsumptionStatus as Status, Disposition, DueRequest, InboxState, Lease, ListenerPause, LogId, OperatorAct,
    OperatorAction, Outcome, OutgoingOutcome, OutgoingResult, PartitionScope, Placement, ProductionStatus, Settlement,
};

use crate::{Fixture, given::*};

fn act(ids: Vec<LogId>, action: OperatorAction) -> OperatorAct {
    OperatorAct { ids, action, operator: "ann".into(), reason: Some("the mail server is back".into()), now: after(60) }
}

async fn dead_lettered(store: &Fixture, id: &str) -> LogId {
    let disposition = Disposition::DeadLetter(Box::new(staged(&format!("dl:{id}"))));
    let failed = Settlement { disposition, retry_count: 3, ..running(store, id).await };
    assert!(settle(store, vec![failed.clone()]).await.is_empty());
    failed.id
}

pub async fn a_dead_letter_is_retried_with_fresh_retries(store: &Fixture) {
    let id = dead_lettered(store, "e1").await;
    assert_eq!(store.act(act(vec![id], OperatorAction::Retry)).await.unwrap(), [id]);
    let row = consumed(store, id).await;
    assert_eq!((row.status, row.retry_count, row.redrive_count), (Status::Received, 0, 1));
    let open = open_work(store, id).await.unwrap();
    assert_eq!((open.state, open.due_at, open.abandoned_count), (InboxState::Waiting, after(60), 0));
    let action = store.actions("e1").await.unwrap().remove(0);
    assert_eq!((action.action.as_str(), action.target_table.as_str()), ("retry", "event_consumption_log"));
    assert_eq!((action.target_id, action.operator.as_str()), (id, "ann"));
    assert_eq!((action.status_from.as_str(), action.status_to.as_str()), ("FAILED_MAX_RETRY", "RECEIVED"));
    assert_eq!((action.reason.as_deref(), action.created_at), (Some("the mail server is back"), after(60)));
    let request = DueRequest {
        group: GROUP.into(),
        instance: ME.into(),
        room: vec![(LISTENER.into(), 1)],
        scope: PartitionScope::Any,
        now: after(60),
    };
    let delivery = store.claim_due(request).await.unwrap().deliveries.remove(0);
    assert_eq!((delivery.retry_count, delivery.redrive_count), (0, 1));
}

pub async fn a_dead_letter_is_discarded(store: &Fixture) {
    let id = dead_lettered(store, "e1").await;
    assert_eq!(store.act(act(vec![id], OperatorAction::Discard)).await.unwrap(), [id]);
    assert_eq!(status(store, id).await, Status::Discarded);
    assert!(open_work(store, id).await.is_none());
    // It is finished for good, and its id is still known.
    assert_eq!(store.act(act(vec![id], OperatorAction::Retry)).await.unwrap(), [0; 0]);
    assert_eq!(store.actions("e1").await.unwrap().len(), 1);
    assert!(matches!(admit(store, vec![arrival("e1")]).await.outcomes[0], Outcome::Duplicate { .. }));
}

pub async fn an_invalid_event_takes_its_id_again(store: &Fixture) {
    let invalid = placed("e1", Placement::Invalid("no amount".into()));
    let id = id_of(&admit(store, vec![invalid]).await.outcomes[0]);
    assert_eq!(store.act(act(vec![id], OperatorAction::Retry)).await.unwrap(), [id]);
    assert_eq!(status(store, id).await, Status::Received);
    let again = admit(store, vec![arrival("e1")]).await;
    assert!(matches!(again.outcomes[0], Outcome::Duplicate { of, .. } if of == id), "{again:?}");
    assert_eq!(store.actions("e1").await.unwrap()[0].status_from, "INVALID");
}

pub async fn an_unwanted_event_is_discarded(store: &Fixture) {
    let id = id_of(&admit(store, vec![unwanted("e1")]).await.outcomes[0]);
    // Nobody would run it: it is handled when it is delivered again and a listener wants it.
    assert!(store.act(act(vec![id], OperatorAction::Retry)).await.unwrap().is_empty());
    assert_eq!(status(store, id).await, Status::NoHandler);
    assert_eq!(store.act(act(vec![id], OperatorAction::Discard)).await.unwrap(), [id]);
    assert_eq!(status(store, id).await, Status::Discarded);
    assert_eq!(store.actions("e1").await.unwrap()[0].status_from, "NO_HANDLER");
}

pub async fn open_and_finished_rows_are_left_alone(store: &Fixture) {
    let (running_row, done) = (running(store, "e1").await, running(store, "e2").await);
    settle(store, vec![done.clone()]).await;
    let waits = id_of(&admit(store, vec![placed("e3", Placement::Wait)]).await.outcomes[0]);
    let ids = vec![running_row.id, done.id, waits, 999_999_999];
    for action in [OperatorAction::Retry, OperatorAction::Discard] {
        assert_eq!(store.act(act(ids.clone(), action)).await.unwrap(), [0; 0]);
    }
    let now = [running_row.id, done.id, waits];
    for (id, expected) in now.into_iter().zip([Status::Processing, Status::Processed, Status::Received]) {
        assert_eq!(status(store, id).await, expected);
    }
    assert!(store.actions("e1").await.unwrap().is_empty());
}

pub async fn a_refused_publication_is_sent_again_or_given_up(store: &Fixture) {
    register(store, ME).await;
    store.stage_alone(vec![staged("e1"), staged("e2"), staged("e3")]).await.unwrap();
    let resources: Vec<_> = (0..16).map(|shard| format!("outbox/{shard}")).collect();
    let leases: Vec<Lease> = store.acquire(&resources, ME, NOW).await.unwrap();
    let taken = store.take_outgoing(&leases, 2, NOW).await.unwrap();
    let refused = taken.iter().map(|row| OutgoingResult {
        id: row.id,
        shard: row.shard,
        outcome: OutgoingOutcome::GiveUp { error: "too large".into() },
    });
    store.settle_outgoing(&leases, refused.collect(), NOW).await.unwrap();
    let (retried, discarded) = (taken[0].id, taken[1].id);
    let pending = produced(store).await[2].id;
    let both = act(vec![retried, pending], OperatorAction::Retry);
    assert_eq!(store.act_on_outbox(both).await.unwrap(), [retried]);
    assert_eq!(store.act_on_outbox(act(vec![discarded], OperatorAction::Discard)).await.unwrap(), [discarded]);
    let rows = produced(store).await;
    let statuses: Vec<_> = rows.iter().map(|row| row.status).collect();
    use ProductionStatus as P;
    assert_eq!(statuses, [P::Pending, P::Discarded, P::Pending]);
    assert_eq!(store.actions("e2").await.unwrap()[0].target_table, "event_production_log");
    let again = store.take_outgoing(&leases, 10, after(60)).await.unwrap();
    assert_eq!(again.iter().map(|row| row.id).collect::<Vec<_>>(), [retried, pending]);
}

pub async fn a_paused_listener_is_named_until_resumed(store: &Fixture) {
    let pause = || ListenerPause {
        group: GROUP.into(),
        listener: LISTENER.into(),
        operator: "ann".into(),
        reason: None,
        now: NOW,
    };
    store.pause_listener(pause()).await.unwrap();
    store.pause_listener(pause()).await.unwrap();
    assert_eq!(store.paused_listeners(GROUP).await.unwrap(), [LISTENER]);
    assert!(store.paused_listeners("other").await.unwrap().is_empty());
    assert!(store.resume_listener(GROUP, LISTENER).await.unwrap());
    assert!(!store.resume_listener(GROUP, LISTENER).await.unwrap());
    assert!(store.paused_listeners(GROUP).await.unwrap().is_empty());
}
