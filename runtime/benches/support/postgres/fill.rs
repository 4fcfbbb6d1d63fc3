//! The backlog, as staging and, where it is so far, the relay would have left it.

use std::time::SystemTime;

use tokio_postgres::Client;
use tracked_events::TrackedEvent;

use super::super::{
    backlog::{Backlog, PARTITIONS, ParcelScanned, Row, Stage},
    listeners::SERVICE,
    rig::Result,
};

const LOG: &str = "INSERT INTO event_production_log (event_id, service_name, topic, event_key, event_type, payload,
         created_at, content_type)
     SELECT event_id, $1, $2, event_key, $3, payload, $4, 'application/json'
     FROM unnest($5::text[], $6::bytea[], $7::bytea[]) WITH ORDINALITY AS r (event_id, event_key, payload, n)
     ORDER BY n RETURNING id";
const PLACE: &str = "UPDATE event_production_log p
     SET status = 'PUBLISHED', partition_number = r.partition_number, \"offset\" = r.\"offset\", published_at = $1
     FROM unnest($2::bigint[], $3::int[], $4::bigint[]) AS r (id, partition_number, \"offset\") WHERE p.id = r.id";
const QUEUE: &str = "INSERT INTO outbox_queue (production_id, shard, topic, key_hash, due_at)
     SELECT id, shard, $1, key_hash, $2 FROM unnest($3::bigint[], $4::int[], $5::bigint[]) AS r (id, shard, key_hash)";
const PARTITION: &str = "INSERT INTO embedded_partition (topic, partition_number, next_offset, created_at)
     VALUES ($1, $2, $3, $4)";

pub(super) async fn fill(client: &Client, backlog: &Backlog) -> Result<()> {
    let now = SystemTime::now();
    client.batch_execute("BEGIN").await?;
    for rows in backlog.rows.chunks(5_000) {
        insert(client, rows, backlog.stage, now).await?;
    }
    for partition in 0..PARTITIONS {
        let number = i32::try_from(partition)?;
        client.execute(PARTITION, &[&ParcelScanned::TOPIC, &number, &backlog.next_offset(partition), &now]).await?;
    }
    client.batch_execute("COMMIT").await?;
    // Without what filling left behind.
    client.batch_execute("VACUUM FULL event_production_log").await?;
    client.batch_execute("VACUUM ANALYZE").await?;
    Ok(())
}

async fn insert(client: &Client, rows: &[Row], stage: Stage, now: SystemTime) -> Result<()> {
    let event_ids: Vec<_> = rows.iter().map(|row| row.event_id.as_str()).collect();
    let keys: Vec<_> = rows.iter().map(|row| row.key.as_slice()).collect();
    let payloads: Vec<_> = rows.iter().map(|row| row.payload.as_slice()).collect();
    let (service, topic, event_type) = (SERVICE, ParcelScanned::TOPIC, ParcelScanned::EVENT_TYPE);
    let inserted = client.query(LOG, &[&service, &topic, &event_type, &now, &event_ids, &keys, &payloads]).await?;
    let ids: Vec<i64> = inserted.iter().map(|row| row.get(0)).collect();
    match stage {
        Stage::Published => {
            let partitions: Vec<_> = rows.iter().map(|row| row.partition).collect();
            let offsets: Vec<_> = rows.iter().map(|row| row.offset).collect();
            client.execute(PLACE, &[&now, &ids, &partitions, &offsets]).await?;
        }
        Stage::Staged => {
            let shards: Vec<_> = rows.iter().map(|row| row.shard).collect();
            let hashes: Vec<_> = rows.iter().map(|row| row.key_hash).collect();
            client.execute(QUEUE, &[&topic, &now, &ids, &shards, &hashes]).await?;
        }
    }
    Ok(())
}
