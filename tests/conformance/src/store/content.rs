//! Bytes and times of every kind come back as they went in.

use tracked_events::{
    Timestamp,
    envelope::{Envelope, Header, headers_from_json},
    store::{Disposition, Lease, Placement, Settlement, StagedEvent},
};

use crate::{Fixture, given::*};

/// Through the inbox and through the outbox.
async fn there_and_back(store: &Fixture, sent: &Envelope) {
    let id = id_of(&admit(store, vec![arrival_of(sent.clone())]).await.outcomes[0]);
    let row = consumed(store, id).await;
    assert!(row.payload == sent.payload && row.event_key == sent.key);
    assert_eq!(headers_from_json(row.headers.as_deref()), sent.headers);
    register(store, &sent.event_id).await;
    let resources: Vec<_> = (0..16).map(|shard| format!("outbox/{shard}")).collect();
    let leases: Vec<Lease> = store.acquire(&resources, &sent.event_id, NOW).await.unwrap();
    store.stage_alone(vec![StagedEvent { envelope: sent.clone(), ..staged("-") }]).await.unwrap();
    let taken = store.take_outgoing(&leases, 1, NOW).await.unwrap();
    assert!(taken[0].envelope == *sent);
    store.remove_instance(&sent.event_id, NOW).await.unwrap();
}

pub async fn any_bytes_come_back_as_they_were(store: &Fixture) {
    let odd: [&[u8]; 5] = [b"", b"\0", b"a\0b", &[0xff, 0xfe, 0x80], "h\u{e9}\u{1f6eb}".as_bytes()];
    for (n, bytes) in odd.into_iter().enumerate() {
        let sent = Envelope {
            payload: Some(bytes.to_vec()),
            key: Some(bytes.to_vec()),
            headers: vec![Header::new("odd", bytes.to_vec()), Header::new("", "nameless")],
            ..envelope(&format!("e{n}"))
        };
        there_and_back(store, &sent).await;
    }
    let long_key = Envelope { key: Some(vec![0x80; 10_000]), ..envelope("long") };
    there_and_back(store, &long_key).await;
    let headers = (0..10_000).map(|n| Header::new(format!("h{n}"), vec![0xff; 3])).collect();
    there_and_back(store, &Envelope { headers, ..envelope("many") }).await;
}

pub async fn a_tombstone_stays_one(store: &Fixture) {
    there_and_back(store, &Envelope { payload: None, key: Some(b"k".to_vec()), ..envelope("e1") }).await;
}

pub async fn a_body_of_ten_megabytes_is_kept_whole(store: &Fixture) {
    let body = (0..10_000_000_u32).map(|n| n.to_le_bytes()[usize::try_from(n % 3).unwrap()]).collect();
    there_and_back(store, &Envelope { payload: Some(body), ..envelope("e1") }).await;
}

pub async fn times_from_1970_to_9999_come_back(store: &Fixture) {
    let last = Timestamp::from_micros(253_402_300_799_999_999);
    let times = [Timestamp::from_micros(0), Timestamp::from_micros(1), last];
    for (n, time) in times.into_iter().enumerate() {
        let mut admission = batch(vec![arrival(&format!("e{n}")), placed(&format!("w{n}"), Placement::Wait)]);
        admission.now = time;
        let admitted = store.admit(std::sync::Arc::new(admission)).await.unwrap();
        let ids: Vec<_> = admitted.outcomes.iter().map(id_of).collect();
        assert_eq!(consumed(store, ids[0]).await.received_at, time);
        assert_eq!(open_work(store, ids[1]).await.unwrap().due_at, time);
        let done = settlement(ids[0], admitted.token.unwrap(), &format!("e{n}"), Disposition::Processed);
        let done = Settlement { settled_at: time, ..done };
        assert!(settle(store, vec![done]).await.is_empty());
        assert_eq!(consumed(store, ids[0]).await.processed_at, Some(time));
    }
    assert_eq!(store.next_due_at(GROUP, &[LISTENER.into()]).await.unwrap(), Some(times[0]));
}

pub async fn text_with_nul_is_kept_readable(store: &Fixture) {
    let mut failed = running(store, "e1").await;
    failed.disposition = Disposition::Invalid;
    let attempt = failed.attempt.as_mut().unwrap();
    attempt.error = Some("bad\0byte".into());
    attempt.stack_trace = Some("at\0line 1".into());
    assert!(settle(store, vec![failed.clone()]).await.is_empty());
    let row = consumed(store, failed.id).await;
    assert_eq!(row.error_message.as_deref(), Some("bad\u{fffd}byte"));
    assert_eq!(row.error_stack_trace.as_deref(), Some("at\u{fffd}line 1"));
    let invalid = placed("e2", Placement::Invalid("also\0bad".into()));
    let id = id_of(&admit(store, vec![invalid]).await.outcomes[0]);
    assert_eq!(consumed(store, id).await.error_message.as_deref(), Some("also\u{fffd}bad"));
}
