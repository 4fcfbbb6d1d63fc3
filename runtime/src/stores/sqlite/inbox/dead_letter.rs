//! Staging dead letters in the transaction that makes them.

use diesel::{QueryResult, sqlite::SqliteConnection};

use crate::{publish::SyncStage, store::StagedEvent};

pub(super) fn stage(connection: &mut SqliteConnection, letter: &StagedEvent) -> QueryResult<()> {
    SyncStage::insert(connection, std::slice::from_ref(letter))?;
    failpoint!("settle.letter_staged");
    Ok(())
}
