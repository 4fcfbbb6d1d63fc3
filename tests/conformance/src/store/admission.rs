//! Admitting: what becomes of an event when it comes, and when it comes again.

use std::sync::Arc;

use tracked_events::{
    envelope::Envelope,
    store::{ConsumptionStatus as Status, InboxState, OperatorAct, OperatorAction, Outcome, Placement, RecordQuery},
};

use crate::{Fixture, given::*};

pub async fn an_event_to_run_is_processing_under_a_claim(store: &Fixture) {
    let admitted = admit(store, vec![arrival("e1")]).await;
    let Outcome::Run(id) = admitted.outcomes[0] else { panic!("{admitted:?}") };
    assert!(admitted.token.is_some());
    assert_eq!(status(store, id).await, Status::Processing);
    assert!(open_work(store, id).await.is_none());
}

pub async fn a_parked_event_is_received_and_waits(store: &Fixture) {
    let admitted = admit(store, vec![placed("e1", Placement::Wait)]).await;
    let Outcome::Parked(id) = admitted.outcomes[0] else { panic!("{admitted:?}") };
    assert_eq!(admitted.token, None);
    assert_eq!(status(store, id).await, Status::Received);
    let open = open_work(store, id).await.unwrap();
    assert_eq!((open.state, open.due_at), (InboxState::Waiting, NOW));
}

pub async fn a_held_event_waits_for_its_key(store: &Fixture) {
    let admitted = admit(store, vec![keyed("e1", 7, Placement::Hold)]).await;
    let Outcome::Parked(id) = admitted.outcomes[0] else { panic!("{admitted:?}") };
    assert_eq!(open_work(store, id).await.unwrap().state, InboxState::Held);
}

pub async fn a_second_delivery_is_a_duplicate_without_payload(store: &Fixture) {
    let first = id_of(&admit(store, vec![arrival("e1")]).await.outcomes[0]);
    let again = admit(store, vec![arrival("e1")]).await;
    let Outcome::Duplicate { id, of } = again.outcomes[0] else { panic!("{again:?}") };
    assert_eq!((of, again.token), (first, None));
    let row = consumed(store, id).await;
    assert_eq!((row.status, row.payload), (Status::Duplicate, None));
    let metadata: String = row.metadata.unwrap().split_whitespace().collect();
    assert_eq!(metadata, format!(r#"{{"duplicate_of":{first}}}"#));
    assert!(open_work(store, id).await.is_none());
    assert_eq!(status(store, first).await, Status::Processing);
}

pub async fn a_duplicate_within_a_batch_is_recognised(store: &Fixture) {
    let arrivals = vec![arrival("e1"), arrival("e2"), arrival("e1"), placed("e2", Placement::Wait), arrival("e3")];
    let admitted = admit(store, arrivals).await;
    let ids: Vec<_> = admitted.outcomes.iter().map(id_of).collect();
    assert_eq!(
        admitted.outcomes,
        [
            Outcome::Run(ids[0]),
            Outcome::Run(ids[1]),
            Outcome::Duplicate { id: ids[2], of: ids[0] },
            Outcome::Duplicate { id: ids[3], of: ids[1] },
            Outcome::Run(ids[4]),
        ]
    );
}

pub async fn the_same_id_with_other_content_is_a_conflict(store: &Fixture) {
    let first = id_of(&admit(store, vec![arrival("e1")]).await.outcomes[0]);
    let other = Envelope { payload: Some(b"other".to_vec()), ..envelope("e1") };
    let admitted = admit(store, vec![arrival_of(other)]).await;
    let Outcome::Conflict { id, of } = admitted.outcomes[0] else { panic!("{admitted:?}") };
    assert_eq!(of, first);
    let row = consumed(store, id).await;
    assert_eq!((row.status, row.payload.as_deref()), (Status::Invalid, Some(&b"other"[..])));
    assert!(row.error_message.unwrap().contains("same id, other content"));
    let metadata: String = row.metadata.unwrap().split_whitespace().collect();
    assert_eq!(metadata, format!(r#"{{"conflicts_with":{first}}}"#));
    assert_eq!(open_work(store, id).await.unwrap().state, InboxState::Review);
    // The key stays the first one's.
    let again = admit(store, vec![arrival("e1")]).await;
    assert!(matches!(again.outcomes[0], Outcome::Duplicate { of, .. } if of == first), "{again:?}");
}

pub async fn an_event_nobody_wants_is_kept_and_recognised(store: &Fixture) {
    let admitted = admit(store, vec![unwanted("e1"), unwanted("e1")]).await;
    let Outcome::NoHandler(id) = admitted.outcomes[0] else { panic!("{admitted:?}") };
    assert!(matches!(admitted.outcomes[1], Outcome::Duplicate { of, .. } if of == id), "{admitted:?}");
    let row = consumed(store, id).await;
    assert_eq!((row.status, row.handler_name.as_str()), (Status::NoHandler, ""));
    assert_eq!(row.payload, envelope("e1").payload);
    assert!(open_work(store, id).await.is_none());
}

pub async fn an_unwanted_event_is_reopened_for_its_listener(store: &Fixture) {
    let first = id_of(&admit(store, vec![unwanted("e1")]).await.outcomes[0]);
    let admitted = admit(store, vec![arrival("e1"), arrival("e2")]).await;
    assert_eq!(admitted.outcomes[0], Outcome::Reopened(first));
    assert!(matches!(admitted.outcomes[1], Outcome::Run(_)));
    let row = consumed(store, first).await;
    assert_eq!((row.status, row.handler_name.as_str()), (Status::Received, LISTENER));
    assert_eq!(open_work(store, first).await.unwrap().state, InboxState::Waiting);
    // From now on it is the listener's.
    let again = admit(store, vec![arrival("e1")]).await;
    assert!(matches!(again.outcomes[0], Outcome::Duplicate { of, .. } if of == first), "{again:?}");
}

pub async fn an_unwanted_event_that_was_discarded_stays_discarded(store: &Fixture) {
    let first = id_of(&admit(store, vec![unwanted("e1")]).await.outcomes[0]);
    let act = OperatorAct {
        ids: vec![first],
        action: OperatorAction::Discard,
        operator: "ann".into(),
        reason: None,
        now: NOW,
    };
    assert_eq!(store.act(act).await.unwrap(), [first]);
    for _ in 0..2 {
        let admitted = admit(store, vec![arrival("e1")]).await;
        assert!(matches!(admitted.outcomes[0], Outcome::Duplicate { of, .. } if of == first), "{admitted:?}");
    }
    assert_eq!(status(store, first).await, Status::Discarded);
}

pub async fn an_invalid_event_keeps_no_key(store: &Fixture) {
    let broken = Envelope { payload: Some(vec![0xff]), ..envelope("e1") };
    let broken = || tracked_events::store::Arrival {
        placement: Placement::Invalid("not JSON".into()),
        ..arrival_of(broken.clone())
    };
    let admitted = admit(store, vec![broken(), broken()]).await;
    for outcome in &admitted.outcomes {
        let Outcome::Invalid(id) = *outcome else { panic!("{admitted:?}") };
        let row = consumed(store, id).await;
        assert_eq!((row.status, row.payload.as_deref()), (Status::Invalid, Some(&[0xff][..])));
        assert_eq!(row.error_message.as_deref(), Some("not JSON"));
        assert_eq!(open_work(store, id).await.unwrap().state, InboxState::Review);
    }
    // The corrected event is new.
    assert!(matches!(admit(store, vec![arrival("e1")]).await.outcomes[0], Outcome::Run(_)));
}

pub async fn an_invalid_copy_of_a_known_event_is_a_conflict(store: &Fixture) {
    let first = id_of(&admit(store, vec![arrival("e1")]).await.outcomes[0]);
    let broken = arrival_of(Envelope { payload: Some(vec![0xff]), ..envelope("e1") });
    let broken = tracked_events::store::Arrival { placement: Placement::Invalid("not JSON".into()), ..broken };
    let admitted = admit(store, vec![broken]).await;
    assert!(matches!(admitted.outcomes[0], Outcome::Conflict { of, .. } if of == first), "{admitted:?}");
}

pub async fn a_replay_passes_the_check_on_purpose(store: &Fixture) {
    let replayed = || tracked_events::store::Arrival { replay_id: "replay-1".into(), ..arrival("e1") };
    let admitted = admit(store, vec![arrival("e1"), replayed(), replayed()]).await;
    assert!(matches!(admitted.outcomes[..], [Outcome::Run(_), Outcome::Run(_), Outcome::Duplicate { .. }]));
    assert_eq!(consumed(store, id_of(&admitted.outcomes[1])).await.replay_id, "replay-1");
}

pub async fn each_listener_has_its_own_record(store: &Fixture) {
    let other = tracked_events::store::Arrival { listener: "add_points".into(), ..arrival("e1") };
    let admitted = admit(store, vec![arrival("e1"), other]).await;
    assert!(admitted.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Run(_))), "{admitted:?}");
    let query = RecordQuery { event_id: Some("e1".into()), limit: 10, ..RecordQuery::default() };
    assert_eq!(store.consumed(&query).await.unwrap().len(), 2);
}

pub async fn one_batch_is_one_range_of_rising_ids(store: &Fixture) {
    let arrivals = |from: usize| -> Vec<_> {
        let kinds = [Placement::Run, Placement::Wait, Placement::Run, Placement::NoHandler];
        (from..from + 40).map(|n| placed(&format!("e{n}"), kinds[n % 4].clone())).collect()
    };
    let (one, two) = (admit(store, arrivals(0)).await, admit(store, arrivals(20)).await);
    assert_ne!(one.token, two.token);
    for admitted in [&one, &two] {
        let ids: Vec<_> = admitted.outcomes.iter().map(id_of).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    }
    let last = one.outcomes.iter().map(id_of).max();
    assert!(two.outcomes.iter().map(id_of).all(|id| Some(id) > last));
}

pub async fn an_empty_batch_claims_nothing(store: &Fixture) {
    let admitted = admit(store, Vec::new()).await;
    assert_eq!((admitted.token, admitted.outcomes.len()), (None, 0));
}

pub async fn concurrent_deliveries_of_one_event_run_once(store: &Fixture) {
    let deliveries: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store.store);
            tokio::spawn(async move { admit(&store, (0..50).map(|n| arrival(&format!("e{n}"))).collect()).await })
        })
        .collect();
    let mut runs = 0;
    for delivery in deliveries {
        let outcomes = delivery.await.unwrap().outcomes;
        runs += outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Run(_))).count();
    }
    assert_eq!(runs, 50);
}
