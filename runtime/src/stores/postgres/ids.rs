//! Ids of the consumption log and tokens of claims, reserved in blocks.
//!
//! A batch takes one range, so that its claim is one row and no id has to be asked back from the database. Ids that
//! are not used are lost; gaps mean nothing.

use std::ops::Range;

use deadpool::managed::Pool;
use diesel::sql_types::{BigInt, Text};
use tokio::sync::Mutex;

use super::{
    pool::{Connections, checkout},
    statement::Statement,
};
use crate::error::Result;

/// How many ids a block holds.
const BLOCK: i64 = 10_000;

/// A sequence of ids, of which this process holds a block.
pub(super) struct Ids {
    name: &'static str,
    held: Mutex<Range<i64>>,
}

impl Ids {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, held: Mutex::new(0..0) }
    }

    /// The first of `count` ids in a row that nobody else gets. Later calls get higher ones.
    pub(super) async fn take(&self, pool: &Pool<Connections>, count: usize) -> Result<i64> {
        let count = i64::try_from(count).unwrap_or(i64::MAX / 2);
        // Held across the reservation: otherwise the rest of an older block could follow a newer one.
        let mut held = self.held.lock().await;
        if held.end - held.start < count {
            *held = reserve(pool, self.name, count.max(BLOCK)).await?;
        }
        let first = held.start;
        held.start += count;
        Ok(first)
    }

    /// Gives up the block: the next id is above all that any process has reserved so far.
    pub(super) async fn renew(&self) {
        *self.held.lock().await = 0..0;
    }
}

/// Reserves a block, in a transaction of its own: what fails later must not give its ids away twice.
async fn reserve(pool: &Pool<Connections>, name: &'static str, count: i64) -> Result<Range<i64>> {
    let sql = "UPDATE id_block SET next_id = next_id + $2 WHERE name = $1 RETURNING next_id";
    let connection = checkout(pool).await?;
    let end: i64 =
        Statement::<BigInt>::new(sql).bind::<Text, _>(name).bind::<BigInt, _>(count).row(&connection).await?;
    Ok(end - count..end)
}
