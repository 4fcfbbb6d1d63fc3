//! The limit of transactional handlers: admitted in batches, then a transaction for each event.

use std::time::{Duration, Instant};

use super::{
    super::{args::Mode, rig::Result},
    consume::{Writer, handled, read_ahead},
    open,
};

/// Consumes everything; how long it took.
pub(super) fn consume(url: &str, events: usize) -> Result<Duration> {
    let (connection, reader) = (open(url)?, open(url)?);
    let mut writer = Writer::new(&connection, Mode::Transactional.name())?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let batches = read_ahead(scope, reader);
        let mut consumed = 0;
        while consumed < events {
            let batch = batches.recv()?;
            for (id, message) in (writer.admit(&batch)?..).zip(&batch) {
                connection.execute_batch("BEGIN IMMEDIATE")?;
                let end = handled(message)?;
                writer.settle_one(id, message, &end)?;
                connection.execute_batch("COMMIT")?;
            }
            consumed += batch.len();
        }
        Ok(began.elapsed())
    })
}
