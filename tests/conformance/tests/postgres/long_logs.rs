//! However long the logs have become, and whatever the server knows of them, what a service does all day reads no more of
//! them than the rows that it is about.

use tracked_events::{
    Timestamp,
    store::{
        Disposition, DueRequest, Lease, OUTBOX_SHARDS, OutgoingOutcome, OutgoingResult, PartitionScope, Placement,
        RecordQuery, RescueRequest, SettleBatch, SharedStore,
    },
};
use tracked_events_conformance::given::*;

use super::*;

/// Rows that were done with long ago.
const HISTORY: i64 = 60_000;
/// Rows that an operation is about.
const ROWS: usize = 200;
/// What an operation may read: each row several times, and far from all.
const MOST: i64 = 3_000;

#[tokio::test]
async fn operations_read_what_they_are_about() {
    let Some(logs) = Logs::create().await else { return };
    every_operation(&logs).await;
}

#[tokio::test]
async fn operations_on_analysed_logs_read_what_they_are_about() {
    let Some(logs) = Logs::create().await else { return };
    logs.database.run("VACUUM ANALYZE").await;
    every_operation(&logs).await;
}

async fn every_operation(logs: &Logs) {
    // Twice: what the server learned from the first is known in the second.
    for round in ["first", "second"] {
        let event_ids = || (0..ROWS).map(|n| format!("{round}-{n}"));
        logs.reads("relay to the embedded broker", async |store| {
            store.stage_alone(event_ids().map(|id| staged(&id)).collect()).await.unwrap();
            let leases = all_shards(&store).await;
            assert_eq!(store.publish_embedded(&leases, 500, 8, NOW).await.unwrap(), 200);
        })
        .await;
        logs.reads("relay to a broker", async |store| {
            store.stage_alone(event_ids().map(|id| staged(&id)).collect()).await.unwrap();
            let leases = all_shards(&store).await;
            let taken = store.take_outgoing(&leases, 500, NOW).await.unwrap();
            assert_eq!(store.recover_outgoing(&leases, NOW).await.unwrap(), 200);
            let taken_again = store.take_outgoing(&leases, 500, NOW).await.unwrap();
            assert_eq!((taken.len(), taken_again.len()), (ROWS, ROWS));
            assert_eq!(store.next_outgoing_at(&leases).await.unwrap(), None);
            let outcome = OutgoingOutcome::Published { partition: Some(0), offset: Some(0) };
            let sent =
                taken.iter().map(|row| OutgoingResult { id: row.id, shard: row.shard, outcome: outcome.clone() });
            store.settle_outgoing(&leases, sent.collect(), NOW).await.unwrap();
        })
        .await;
        logs.reads("consume", async |store| {
            register(&store, ME).await;
            let admitted = admit(&store, event_ids().map(|id| arrival(&id)).collect()).await;
            let token = admitted.token.unwrap();
            let ends = admitted.outcomes.iter().zip(event_ids());
            let ends = ends.map(|(outcome, id)| settlement(id_of(outcome), token, &id, Disposition::Processed));
            assert!(settle(&store, ends.collect()).await.is_empty());
            finish(&store, token).await;
        })
        .await;
        logs.reads("see again", async |store| {
            register(&store, ME).await;
            admit(&store, event_ids().map(|id| arrival(&id)).collect()).await;
        })
        .await;
        logs.reads("retry", async |store| {
            register(&store, ME).await;
            let waiting = event_ids().map(|id| placed(&format!("waiting-{id}"), Placement::Wait));
            admit(&store, waiting.collect()).await;
            let claimed = store.claim_due(due()).await.unwrap();
            assert_eq!(claimed.deliveries.len(), ROWS);
            let token = claimed.token.unwrap();
            let ends = claimed.deliveries.iter().map(|delivery| tracked_events::store::Settlement {
                queued: true,
                ..settlement(delivery.id, token, &delivery.envelope.event_id, Disposition::Processed)
            });
            let batch =
                SettleBatch { instance: ME.into(), settlements: ends.collect(), finished: vec![token], now: NOW };
            assert!(store.settle(batch.into()).await.unwrap().is_empty());
            store.next_due_at(GROUP, &[LISTENER.to_owned()]).await.unwrap();
            store.open_keys(GROUP, &PartitionScope::Any).await.unwrap();
        })
        .await;
        logs.reads("take over", async |store| {
            register(&store, ME).await;
            let waiting = event_ids().map(|id| placed(&format!("claimed-{id}"), Placement::Wait));
            admit(&store, waiting.collect()).await;
            assert_eq!(store.claim_due(due()).await.unwrap().deliveries.len(), ROWS);
            admit(&store, event_ids().map(|id| arrival(&format!("running-{id}"))).collect()).await;
            assert_eq!(store.rescue(rescue()).await.unwrap(), 400);
        })
        .await;
        logs.reads("review", async |store| {
            let refused = event_ids().map(|id| placed(&format!("bad-{id}"), Placement::Invalid("not JSON".into())));
            register(&store, ME).await;
            admit(&store, refused.collect()).await;
            let query = RecordQuery { limit: 50, ..RecordQuery::default() };
            assert_eq!(store.for_review(&query).await.unwrap().len(), 50);
            store.backlog().await.unwrap();
        })
        .await;
        logs.reads("look up", async |store| {
            for id in event_ids().take(10) {
                let query = RecordQuery { event_id: Some(id), limit: 50, ..RecordQuery::default() };
                assert!(!store.consumed(&query).await.unwrap().is_empty());
                assert!(!store.produced(&query).await.unwrap().is_empty());
            }
        })
        .await;
        logs.database.run("DELETE FROM inbox_queue").await;
    }
}

async fn all_shards(store: &SharedStore) -> Vec<Lease> {
    register(store, ME).await;
    let resources: Vec<_> = (0..OUTBOX_SHARDS).map(|shard| format!("outbox/{shard}")).collect();
    store.acquire(&resources, ME, NOW).await.unwrap()
}

fn due() -> DueRequest {
    let room = vec![(LISTENER.to_owned(), 500)];
    DueRequest { group: GROUP.into(), instance: ME.into(), room, scope: PartitionScope::Any, now: after(1) }
}

fn rescue() -> RescueRequest {
    let now: Timestamp = after(30);
    RescueRequest { instance: ME.into(), max_abandoned: 3, dead_letters: std::sync::Arc::default(), now }
}

/// A database whose logs are long.
struct Logs {
    database: Database,
}

impl Logs {
    async fn create() -> Option<Self> {
        let database = database().await?;
        migrate(&database.url).await.unwrap();
        let history = format!(
            "INSERT INTO event_production_log (event_id, service_name, topic, event_type, status, partition_number,
                 \"offset\", created_at)
             SELECT 'old-' || n, '{SERVICE}', 'old', 'T', 'PUBLISHED', 0, n, now() FROM generate_series(1, {HISTORY}) n;
             INSERT INTO event_consumption_log (id, event_id, service_name, topic, consumer_group, event_type, status,
                 handler_name, received_at, created_at)
             SELECT n, 'old-' || n, '{SERVICE}', 'old', '{GROUP}', 'T', 'PROCESSED', '{LISTENER}', now(), now()
             FROM generate_series(1, {HISTORY}) n;
             INSERT INTO event_attempt (consumption_id, event_id, attempt_number, handler_name, instance_id, started_at,
                 completed_at, status, processing_time_ms)
             SELECT n, 'old-' || n, 1, '{LISTENER}', '{ME}', now(), now(), 'SUCCESS', 1
             FROM generate_series(1, {HISTORY}) n;
             INSERT INTO idempotency_key (consumer_group, handler_name, event_id, checksum, processed_at, consumption_id)
             SELECT '{GROUP}', '{LISTENER}', 'old-' || n, 1, now(), n FROM generate_series(1, {HISTORY}) n;
             UPDATE id_block SET next_id = {HISTORY} + 1"
        );
        database.run(&history).await;
        Some(Self { database })
    }

    /// Does some work in sessions of its own, and checks how many rows of the logs they read.
    async fn reads(&self, what: &str, work: impl AsyncFnOnce(SharedStore)) {
        let before = self.read_so_far().await;
        let store = open(&StoreOptions { max_connections: 2, ..options(&self.database) }).await.unwrap();
        work(store).await;
        let read = self.read_so_far().await - before;
        assert!(read < MOST, "`{what}` read {read} rows of the logs");
    }

    /// Sessions say what they read when they end, at the latest.
    async fn read_so_far(&self) -> i64 {
        let mut observer = AsyncPgConnection::establish(&self.database.url).await.unwrap();
        until(&mut observer, "application_name = 'tracked-events'", 0).await;
        let sql = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint AS count FROM pg_stat_user_tables
             WHERE relname IN ('event_production_log', 'event_consumption_log', 'event_attempt', 'idempotency_key')";
        diesel::sql_query(sql).get_result::<Count>(&mut observer).await.unwrap().count
    }
}
