//! The events that a round begins with.

use tracked_events::{TrackedEvent, envelope::hash, prelude::*};

/// The topic's partitions: as many as a new topic gets by default.
pub(crate) const PARTITIONS: usize = 8;
/// Shards of the outbox.
const SHARDS: i64 = 16;
/// One in so many events has a key of its own: `ordered` handlers meet lanes with followers.
const EVENTS_PER_KEY: usize = 10;

/// The event of every benchmark: about 300 bytes of JSON.
#[derive(Debug, Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "PARCEL_SCANNED", topic = "parcels")]
pub(crate) struct ParcelScanned {
    #[tracked_event(id)]
    pub(crate) event_id: String,
    #[tracked_event(key)]
    pub(crate) parcel: String,
    pub(crate) depot: String,
    pub(crate) weight_grams: i64,
    pub(crate) fragile: bool,
    pub(crate) route: Vec<String>,
    pub(crate) note: String,
}

/// Whether the relay has done its work already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// In the outbox.
    Staged,
    /// On the embedded broker.
    Published,
}

/// An event that is in the database before a round begins.
pub(crate) struct Row {
    pub(crate) event_id: String,
    pub(crate) key: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) key_hash: i64,
    pub(crate) partition: i32,
    pub(crate) shard: i32,
    /// Its place in its partition.
    pub(crate) offset: i64,
}

/// What is in the database before a round begins.
pub(crate) struct Backlog {
    pub(crate) stage: Stage,
    pub(crate) rows: Vec<Row>,
}

impl Backlog {
    pub(crate) fn of(events: usize, stage: Stage) -> Self {
        let mut next_offsets = [0_i64; PARTITIONS];
        let rows = (0..events).map(|number| Row::new(number, events, &mut next_offsets)).collect();
        Self { stage, rows }
    }

    pub(crate) fn next_offset(&self, partition: usize) -> i64 {
        let count = self.rows.iter().filter(|row| usize::try_from(row.partition) == Ok(partition)).count();
        if self.stage == Stage::Published { i64::try_from(count).unwrap() } else { 0 }
    }
}

impl Row {
    fn new(number: usize, events: usize, next_offsets: &mut [i64; PARTITIONS]) -> Self {
        let keys = (events / EVENTS_PER_KEY).max(1);
        let event = ParcelScanned {
            event_id: Uuid::now_v7().to_string(),
            parcel: format!("parcel-{:08}", number.wrapping_mul(7_919) % keys),
            depot: "Rotterdam Maasvlakte, gate 4".to_owned(),
            weight_grams: i64::try_from(number).unwrap() % 30_000,
            fragile: number.is_multiple_of(3),
            route: ["NLRTM", "DEHAM", "DKCPH", "SEGOT"].map(str::to_owned).to_vec(),
            note: "left with a neighbour on the second floor; the bell is out of order".to_owned(),
        };
        let key = event.event_key().unwrap();
        let key_hash = hash(&key);
        let partition = usize::try_from(key_hash.rem_euclid(i64::try_from(PARTITIONS).unwrap())).unwrap();
        let offset = next_offsets[partition];
        next_offsets[partition] += 1;
        Self {
            payload: serde_json::to_vec(&event).unwrap(),
            event_id: event.event_id,
            key,
            key_hash,
            partition: i32::try_from(partition).unwrap(),
            shard: i32::try_from(key_hash.rem_euclid(SHARDS)).unwrap(),
            offset,
        }
    }
}
