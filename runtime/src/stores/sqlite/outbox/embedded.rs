//! Publishing to topics that live in the production log.

use std::collections::HashMap;

use diesel::{
    QueryResult,
    sql_types::{BigInt, Integer, Text},
    sqlite::SqliteConnection,
};

use super::queue::{self, Due, Shards};
use crate::{
    clock::{Timestamp, TimestampText},
    envelope,
    error::Result,
    store::Lease,
    stores::{schema::UtcTimestamp, sqlite::embedded::partitions_of},
};

/// Gives due rows their place in their topics. The transaction is the only one that writes, so offsets become visible
/// in their order.
pub(super) fn publish(
    connection: &mut SqliteConnection,
    leases: &[Lease],
    limit: u32,
    partitions: u32,
    now: Timestamp,
) -> Result<u32> {
    let shards = Shards::standing(connection, leases)?;
    if shards.is_empty() {
        return Ok(0);
    }
    let due = queue::due(connection, shards, limit, now)?;
    let mut topics = Topics::new(partitions, now);
    let mut published = 0;
    for row in &due {
        published += u32::from(topics.append(connection, row)?);
    }
    topics.save(connection)?;
    failpoint!("relay.placed", if published > 0);
    Ok(published)
}

/// The topics of a batch, each with the next offset of every partition.
struct Topics {
    known: HashMap<String, Vec<i64>>,
    partitions: u32,
    now: Timestamp,
    now_text: TimestampText,
}

impl Topics {
    fn new(partitions: u32, now: Timestamp) -> Self {
        Self { known: HashMap::new(), partitions, now, now_text: now.into() }
    }

    /// Publishes a row; `false` when it is not to be published any more.
    fn append(&mut self, connection: &mut SqliteConnection, row: &Due) -> QueryResult<bool> {
        if !self.known.contains_key(&row.topic) {
            let offsets = partitions_of(connection, &row.topic, self.partitions, self.now)?;
            self.known.insert(row.topic.clone(), offsets);
        }
        let Some(offsets) = self.known.get_mut(&row.topic) else { return Ok(false) };
        let hash = row.key_hash.unwrap_or_else(|| envelope::hash(row.event_id.as_bytes()));
        let count = i64::try_from(offsets.len()).unwrap_or(1).max(1);
        let partition = hash.rem_euclid(count);
        let Some(next) = usize::try_from(partition).ok().and_then(|at| offsets.get_mut(at)) else { return Ok(false) };
        let changed = execute!(
            connection,
            "UPDATE event_production_log
             SET status = 'PUBLISHED', partition_number = ?2, offset = ?3, published_at = ?4, updated_at = ?4
             WHERE id = ?1 AND status IN ('PENDING', 'FAILED')",
            BigInt = row.id,
            BigInt = partition,
            BigInt = *next,
            UtcTimestamp = self.now_text
        )?;
        execute!(connection, "DELETE FROM outbox_queue WHERE production_id = ?1", BigInt = row.id)?;
        if changed == 1 {
            *next += 1;
        }
        Ok(changed == 1)
    }

    fn save(&self, connection: &mut SqliteConnection) -> QueryResult<()> {
        for (topic, offsets) in &self.known {
            for (partition, next) in (0..).zip(offsets) {
                execute!(
                    connection,
                    "UPDATE embedded_partition SET next_offset = ?3
                     WHERE topic = ?1 AND partition_number = ?2 AND next_offset <> ?3",
                    Text = topic.as_str(),
                    Integer = partition,
                    BigInt = *next
                )?;
            }
        }
        Ok(())
    }
}
