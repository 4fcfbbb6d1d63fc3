//! How much open work there is.

use diesel::sql_types::{BigInt, Nullable, Text};
use futures_util::try_join;

use crate::{
    clock::Timestamp,
    error::Result,
    store::{Backlog, GroupLag, ListenerBacklog},
    stores::{
        postgres::{
            PostgresStore,
            pool::{Batch, Unit},
            statement::Statement,
        },
        schema::UtcTimestamp,
    },
};

const OUTBOX: &str = "\
SELECT count(*) FILTER (WHERE state <> 'review'), count(*) FILTER (WHERE state = 'failed'),
    count(*) FILTER (WHERE state = 'review'), min(due_at) FILTER (WHERE state <> 'review')
FROM outbox_queue";

const LISTENERS: &str = "\
SELECT consumer_group, handler_name, count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'held'),
    count(*) FILTER (WHERE state = 'due'), count(*) FILTER (WHERE claim_token IS NOT NULL),
    count(*) FILTER (WHERE state = 'review'), min(due_at) FILTER (WHERE state IN ('waiting', 'due'))
FROM inbox_queue
GROUP BY consumer_group, handler_name
ORDER BY consumer_group, handler_name";

const LAG: &str = "\
SELECT g.consumer_group, g.topic, sum(greatest(p.next_offset - g.next_offset, 0))::bigint
FROM embedded_position g
JOIN embedded_partition p ON p.topic = g.topic AND p.partition_number = g.partition_number
GROUP BY g.consumer_group, g.topic
ORDER BY g.consumer_group, g.topic";

type ListenerSql = (Text, Text, BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<UtcTimestamp>);
type ListenerRow = (String, String, i64, i64, i64, i64, i64, Option<Timestamp>);

pub(super) async fn backlog(store: &PostgresStore) -> Result<Backlog> {
    let unit = Unit::on(&store.pool).await?;
    let connection = unit.connection()?;
    // Of one moment: what moves from one table to the next is in one of them.
    let ((), outbox, listeners, lag, claims) = try_join!(
        connection.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        Statement::<(BigInt, BigInt, BigInt, Nullable<UtcTimestamp>)>::new(OUTBOX)
            .row::<(i64, i64, i64, Option<Timestamp>)>(connection),
        Statement::<ListenerSql>::new(LISTENERS).rows::<ListenerRow>(connection),
        Statement::<(Text, Text, BigInt)>::new(LAG).rows::<(String, String, i64)>(connection),
        Statement::<BigInt>::new("SELECT count(*) FROM claim").row::<i64>(connection),
    )?;
    unit.commit().await?;
    let (outbox_pending, outbox_failed, outbox_review, outbox_oldest_due_at) = outbox;
    Ok(Backlog {
        outbox_pending,
        outbox_failed,
        outbox_review,
        outbox_oldest_due_at,
        listeners: listeners.into_iter().map(listener).collect(),
        embedded_lag: lag
            .into_iter()
            .map(|(consumer_group, topic, lag)| GroupLag { consumer_group, topic, lag })
            .collect(),
        claims,
    })
}

fn listener(row: ListenerRow) -> ListenerBacklog {
    let (consumer_group, handler_name, waiting, held, due, claimed, review, oldest_due_at) = row;
    ListenerBacklog { consumer_group, handler_name, waiting, held, due, claimed, review, oldest_due_at }
}
