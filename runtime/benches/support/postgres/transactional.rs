//! The limit of transactional handlers: admitted in batches, then a transaction for each event, many beside each other.

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;

use super::{
    super::{args::Mode, rig::Result},
    consume::{Loop, Runs},
    partitions_of,
};

/// As many as a listener's workers by default.
const CONNECTIONS: usize = 8;

/// Consumes everything; how long it took.
pub(super) async fn consume(url: &str, events: usize) -> Result<Duration> {
    let next_id = Arc::new(AtomicI64::new(1));
    let mut loops = Vec::new();
    for part in 0..CONNECTIONS {
        let partitions = partitions_of(part, CONNECTIONS);
        loops.push(Loop::new(url, Mode::Transactional.name(), partitions, Arc::clone(&next_id)).await?);
    }
    let began = Instant::now();
    let consumed = try_join_all(loops.into_iter().map(|consumer| tokio::spawn(run(consumer)))).await?;
    let took = began.elapsed();
    let consumed: usize = consumed.into_iter().sum::<Result<usize>>()?;
    if consumed == events { Ok(took) } else { Err(format!("consumed {consumed} of {events}").into()) }
}

async fn run(mut consumer: Loop) -> Result<usize> {
    let mut consumed = 0;
    loop {
        let batch = consumer.read().await?;
        if batch.is_empty() {
            return Ok(consumed);
        }
        consumer.pass(&batch);
        let admitted = consumer.admit(&batch).await?;
        for (id, message) in (admitted.first_id..).zip(&batch) {
            // The handler has the transaction in its hands while it runs.
            consumer.client.batch_execute("BEGIN").await?;
            let mut run = Runs::default();
            run.handle(id, message)?;
            consumer.settle(&admitted, &run).await?;
            consumer.client.batch_execute("COMMIT").await?;
        }
        consumed += batch.len();
    }
}
