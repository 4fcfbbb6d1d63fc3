//! The limit of the relay: a loop for each connection, each with its own shards; a batch is one statement.

use std::time::{Duration, Instant, SystemTime};

use futures_util::future::try_join_all;
use tokio_postgres::Client;
use tracked_events::TrackedEvent;

use super::{
    super::{
        BATCH,
        backlog::{PARTITIONS, ParcelScanned},
        rig::Result,
    },
    CONNECTIONS, connect,
};

const SHARDS: usize = 16;

/// Takes, places, marks and clears. Every event has a key, so the database can tell the partition by itself.
const RELAY: &str = "WITH taken AS (
         DELETE FROM outbox_queue WHERE production_id = ANY (ARRAY(
             SELECT production_id FROM outbox_queue
             WHERE shard = ANY ($2::int[]) AND state <> 'review' AND due_at <= $3
             ORDER BY production_id LIMIT $4))
         RETURNING production_id, ((key_hash % $5::bigint + $5) % $5)::int AS partition_number),
     numbered AS (
         SELECT production_id, partition_number,
             row_number() OVER (PARTITION BY partition_number ORDER BY production_id) AS n
         FROM taken),
     moved AS (
         UPDATE embedded_partition p SET next_offset = p.next_offset + r.count
         FROM (SELECT partition_number, count(*) AS count FROM taken GROUP BY partition_number) r
         WHERE p.topic = $1 AND p.partition_number = r.partition_number
         RETURNING p.partition_number, p.next_offset - r.count AS first)
     UPDATE event_production_log l
     SET status = 'PUBLISHED', partition_number = numbered.partition_number, \"offset\" = first + n - 1,
         published_at = $3, updated_at = $3
     FROM numbered JOIN moved USING (partition_number)
     WHERE l.id = production_id AND l.status IN ('PENDING', 'FAILED')";

/// Relays everything; how long it took.
pub(super) async fn publish(url: &str, events: usize) -> Result<Duration> {
    let clients = try_join_all((0..CONNECTIONS).map(|_| connect(url))).await?;
    let began = Instant::now();
    let relays = clients.into_iter().enumerate().map(|(part, client)| tokio::spawn(relay(client, shards_of(part))));
    let relayed = try_join_all(relays).await?;
    let took = began.elapsed();
    let relayed: usize = relayed.into_iter().sum::<Result<usize>>()?;
    if relayed == events { Ok(took) } else { Err(format!("relayed {relayed} of {events}").into()) }
}

/// The shards whose rows go to the same partitions: two loops never wait for each other's.
fn shards_of(part: usize) -> Vec<i32> {
    let own = (0..SHARDS).filter(|shard| shard % PARTITIONS % CONNECTIONS == part);
    own.filter_map(|shard| i32::try_from(shard).ok()).collect()
}

async fn relay(client: Client, shards: Vec<i32>) -> Result<usize> {
    let statement = client.prepare(RELAY).await?;
    let (batch, partitions) = (i64::try_from(BATCH)?, i64::try_from(PARTITIONS)?);
    let mut relayed = 0;
    loop {
        let now = SystemTime::now();
        let done = client.execute(&statement, &[&ParcelScanned::TOPIC, &shards, &now, &batch, &partitions]).await?;
        if done == 0 {
            return Ok(relayed);
        }
        relayed += usize::try_from(done)?;
    }
}
