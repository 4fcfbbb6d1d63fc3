//! Searching the record.

use tracked_events::{
    envelope::{Envelope, Header, headers_from_json},
    store::{Arrival, Disposition, Placement, RecordQuery, Settlement},
};

use crate::{Fixture, given::*};

fn all() -> RecordQuery {
    RecordQuery { limit: 100, ..RecordQuery::default() }
}

pub async fn rows_for_review_come_oldest_first(store: &Fixture) {
    let invalid = |id: &str| placed(id, Placement::Invalid("no amount".into()));
    let admitted =
        admit(store, vec![invalid("e1"), placed("e2", Placement::Wait), invalid("e3"), unwanted("e4")]).await;
    let dead =
        Settlement { disposition: Disposition::DeadLetter(Box::new(staged("dl"))), ..running(store, "e5").await };
    settle(store, vec![dead.clone()]).await;
    let rows = store.for_review(&all()).await.unwrap();
    let (first, third) = (id_of(&admitted.outcomes[0]), id_of(&admitted.outcomes[2]));
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [first, third, dead.id]);
    let next = RecordQuery { after_id: Some(first), limit: 1, ..RecordQuery::default() };
    assert_eq!(store.for_review(&next).await.unwrap()[0].id, third);
    let dead_letters = RecordQuery { status: Some("FAILED_MAX_RETRY".into()), ..all() };
    assert_eq!(store.for_review(&dead_letters).await.unwrap()[0].id, dead.id);
}

pub async fn every_condition_of_a_search_must_match(store: &Fixture) {
    let wanted = Arrival {
        topic: "other".into(),
        event_type: "OTHER".into(),
        listener: "add_points".into(),
        ..arrival_of(Envelope { key: Some(vec![0, 0xff]), correlation_id: Some("request-8".into()), ..envelope("e2") })
    };
    let admitted = admit(store, vec![arrival("e1"), wanted, arrival("e3")]).await;
    let id = id_of(&admitted.outcomes[1]);
    let text = |text: &str| Some(text.to_owned());
    let matching = [
        RecordQuery { event_id: text("e2"), ..all() },
        RecordQuery { id: Some(id), ..all() },
        RecordQuery { topic: text("other"), ..all() },
        RecordQuery { event_type: text("OTHER"), ..all() },
        RecordQuery { listener: text("add_points"), group: text(GROUP), ..all() },
        RecordQuery { key: Some(vec![0, 0xff]), ..all() },
        RecordQuery { correlation_id: text("request-8"), status: text("PROCESSING"), ..all() },
    ];
    for query in matching {
        let found: Vec<_> = store.consumed(&query).await.unwrap().iter().map(|row| row.id).collect();
        assert_eq!(found, [id], "{query:?}");
    }
    let nothing = [
        RecordQuery { event_id: text("e2"), topic: text(TOPIC), ..all() },
        RecordQuery { group: text("other"), ..all() },
        RecordQuery { from: Some(after(1)), ..all() },
        RecordQuery { to: Some(NOW), ..all() },
        RecordQuery { limit: 0, ..all() },
    ];
    for query in nothing {
        assert!(store.consumed(&query).await.unwrap().is_empty(), "{query:?}");
    }
    let whole_time = RecordQuery { from: Some(NOW), to: Some(after(1)), ..all() };
    assert_eq!(store.consumed(&whole_time).await.unwrap().len(), 3);
}

pub async fn pages_follow_each_other(store: &Fixture) {
    admit(store, (0..25).map(|n| arrival(&format!("e{n}"))).collect()).await;
    store.stage_alone((0..25).map(|n| staged(&format!("p{n}"))).collect()).await.unwrap();
    let (mut consumed, mut produced) = (Vec::new(), Vec::new());
    let mut query = RecordQuery { limit: 10, ..RecordQuery::default() };
    loop {
        let page = store.consumed(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after_id = Some(last.id);
        consumed.extend(page.into_iter().map(|row| row.event_id));
    }
    query.after_id = None;
    loop {
        let page = store.produced(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after_id = Some(last.id);
        produced.extend(page.into_iter().map(|row| row.event_id));
    }
    assert_eq!(consumed, (0..25).rev().map(|n| format!("e{n}")).collect::<Vec<_>>());
    assert_eq!(produced, (0..25).rev().map(|n| format!("p{n}")).collect::<Vec<_>>());
}

pub async fn the_backlog_counts_what_is_open(store: &Fixture) {
    assert!(store.backlog().await.unwrap().is_empty());
    let arrivals = vec![
        placed("e1", Placement::Wait),
        placed("e2", Placement::Wait),
        keyed("e3", 7, Placement::Hold),
        placed("e4", Placement::Invalid("no amount".into())),
    ];
    admit(store, arrivals).await;
    let failed = Settlement {
        disposition: Disposition::Retry { due_at: after(5), delay: std::time::Duration::from_secs(5) },
        ..running(store, "e5").await
    };
    settle(store, vec![failed]).await;
    store.stage_alone(vec![staged("p1")]).await.unwrap();
    let backlog = store.backlog().await.unwrap();
    assert_eq!((backlog.outbox_pending, backlog.outbox_failed, backlog.outbox_review), (1, 0, 0));
    assert_eq!(backlog.outbox_oldest_due_at, Some(NOW));
    let [listener] = &backlog.listeners[..] else { panic!("{backlog:?}") };
    assert_eq!((listener.consumer_group.as_str(), listener.handler_name.as_str()), (GROUP, LISTENER));
    let counts = [listener.waiting, listener.held, listener.due, listener.claimed, listener.review];
    assert_eq!(counts, [2, 1, 1, 0, 1]);
    assert_eq!(listener.oldest_due_at, Some(NOW));
}

pub async fn everything_of_a_row_is_kept(store: &Fixture) {
    let sent = Envelope {
        key: Some(b"42".to_vec()),
        causation_id: Some("e0".into()),
        headers: vec![Header::new("tenant", "blue")],
        ..envelope("e1")
    };
    let arrival = Arrival { partition: Some(3), offset: Some(77), max_retries: 9, ..arrival_of(sent.clone()) };
    let row = consumed(store, id_of(&admit(store, vec![arrival]).await.outcomes[0])).await;
    assert_eq!((row.event_id.as_str(), row.service_name.as_str(), row.topic.as_str()), ("e1", SERVICE, TOPIC));
    assert_eq!((row.partition_number, row.offset, row.max_retries), (Some(3), Some(77), 9));
    assert_eq!((row.consumer_group.as_str(), row.event_type.as_str()), (GROUP, "BOOKING_CONFIRMED"));
    assert_eq!((&row.event_key, &row.payload), (&sent.key, &sent.payload));
    assert_eq!((row.correlation_id.as_deref(), row.causation_id.as_deref()), (Some("request-7"), Some("e0")));
    assert_eq!(headers_from_json(row.headers.as_deref()), sent.headers);
    assert_eq!((row.received_at, row.retry_count, row.redrive_count), (NOW, 0, 0));
}
