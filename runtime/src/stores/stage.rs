//! Staging on a connection of the caller's, whatever its type.
//!
//! Connections are told apart by their Diesel backend: each one says how it inserts, and every asynchronous or
//! synchronous connection to it can then be published on.

use diesel::{Insertable, QueryResult, connection::TransactionManager as _};
use diesel_async::{AsyncConnection, TransactionManager as _};

use crate::{
    clock::Timestamp,
    connection::Tx,
    envelope::headers_to_json,
    on,
    publish::{AsyncStage, Ending, StageScope, SyncStage},
    store::{OutboxState, ProductionStatus, StagedEvent},
    stores::schema::{event_production_log, outbox_queue},
};

/// A database whose connections can be staged on.
pub trait StageBackend: diesel::backend::Backend {
    /// Run right after a transaction was opened; empty for nothing.
    const AFTER_BEGIN: &'static str;

    /// Inserts rows on an asynchronous connection.
    fn insert<C: AsyncConnection<Backend = Self>>(
        connection: &mut C,
        events: &[StagedEvent],
    ) -> impl Future<Output = QueryResult<()>> + Send;

    /// Inserts rows on a synchronous connection.
    fn insert_blocking<C: diesel::connection::LoadConnection<Backend = Self>>(
        connection: &mut C,
        events: &[StagedEvent],
    ) -> QueryResult<()>;
}

impl<C> AsyncStage for C
where
    C: AsyncConnection,
    C::Backend: StageBackend,
{
    async fn begin(&mut self) -> QueryResult<StageScope> {
        if C::TransactionManager::transaction_manager_status_mut(self).transaction_depth()?.is_some() {
            return Ok(StageScope::Joined);
        }
        C::TransactionManager::begin_transaction(self).await?;
        let after = C::Backend::AFTER_BEGIN;
        if !after.is_empty()
            && let Err(refused) = self.batch_execute(after).await
        {
            // The refusal says more than a failed rollback would.
            let _ = C::TransactionManager::rollback_transaction(self).await;
            return Err(refused);
        }
        Ok(StageScope::Opened)
    }

    async fn insert(&mut self, events: &[StagedEvent]) -> QueryResult<()> {
        C::Backend::insert(self, events).await
    }

    async fn end(&mut self, scope: StageScope, ending: Ending) -> QueryResult<()> {
        match (scope, ending) {
            (StageScope::Joined, _) => Ok(()),
            (StageScope::Opened, Ending::Commit) => C::TransactionManager::commit_transaction(self).await,
            (StageScope::Opened, Ending::Rollback) => C::TransactionManager::rollback_transaction(self).await,
        }
    }
}

/// On whichever database it is of.
impl AsyncStage for Tx<'_> {
    async fn begin(&mut self) -> QueryResult<StageScope> {
        on!(self, |connection| AsyncStage::begin(&mut **connection).await)
    }

    async fn insert(&mut self, events: &[StagedEvent]) -> QueryResult<()> {
        on!(self, |connection| AsyncStage::insert(&mut **connection, events).await)
    }

    async fn end(&mut self, scope: StageScope, ending: Ending) -> QueryResult<()> {
        on!(self, |connection| AsyncStage::end(&mut **connection, scope, ending).await)
    }
}

impl<C> SyncStage for C
where
    C: diesel::connection::LoadConnection,
    C::Backend: StageBackend,
{
    fn begin(&mut self) -> QueryResult<StageScope> {
        if C::TransactionManager::transaction_manager_status_mut(self).transaction_depth()?.is_some() {
            return Ok(StageScope::Joined);
        }
        C::TransactionManager::begin_transaction(self)?;
        let after = C::Backend::AFTER_BEGIN;
        if !after.is_empty()
            && let Err(refused) = self.batch_execute(after)
        {
            let _ = C::TransactionManager::rollback_transaction(self);
            return Err(refused);
        }
        Ok(StageScope::Opened)
    }

    fn insert(&mut self, events: &[StagedEvent]) -> QueryResult<()> {
        C::Backend::insert_blocking(self, events)
    }

    fn end(&mut self, scope: StageScope, ending: Ending) -> QueryResult<()> {
        match (scope, ending) {
            (StageScope::Joined, _) => Ok(()),
            (StageScope::Opened, Ending::Commit) => C::TransactionManager::commit_transaction(self),
            (StageScope::Opened, Ending::Rollback) => C::TransactionManager::rollback_transaction(self),
        }
    }
}

/// A row of the production log, PENDING.
#[derive(Insertable)]
#[diesel(table_name = event_production_log, treat_none_as_default_value = false)]
pub(crate) struct StagedRow<'a> {
    event_id: &'a str,
    service_name: &'a str,
    topic: &'a str,
    event_key: Option<&'a [u8]>,
    event_type: &'a str,
    payload: Option<&'a [u8]>,
    status: &'static str,
    max_retries: i32,
    correlation_id: Option<&'a str>,
    causation_id: Option<&'a str>,
    content_type: Option<&'a str>,
    headers: Option<String>,
    traceparent: Option<&'a str>,
    kind: &'static str,
    created_at: Timestamp,
}

impl<'a> From<&'a StagedEvent> for StagedRow<'a> {
    fn from(event: &'a StagedEvent) -> Self {
        let envelope = &event.envelope;
        Self {
            event_id: &envelope.event_id,
            service_name: &event.service,
            topic: &event.topic,
            event_key: envelope.key.as_deref(),
            event_type: envelope.event_type.as_deref().unwrap_or_default(),
            payload: envelope.payload.as_deref(),
            status: ProductionStatus::Pending.as_str(),
            max_retries: i32::try_from(event.max_retries).unwrap_or(i32::MAX),
            correlation_id: envelope.correlation_id.as_deref(),
            causation_id: envelope.causation_id.as_deref(),
            content_type: envelope.content_type.as_deref(),
            headers: headers_to_json(&envelope.headers),
            traceparent: envelope.traceparent.as_deref(),
            kind: event.kind.as_str(),
            created_at: event.created_at,
        }
    }
}

/// Its row of open work; the id of the other is still to be said.
#[derive(Insertable)]
#[diesel(table_name = outbox_queue, treat_none_as_default_value = false)]
pub(crate) struct QueuedRow<'a> {
    shard: i32,
    topic: &'a str,
    key_hash: Option<i64>,
    state: &'static str,
    due_at: Timestamp,
}

impl<'a> From<&'a StagedEvent> for QueuedRow<'a> {
    fn from(event: &'a StagedEvent) -> Self {
        Self {
            shard: event.shard(),
            topic: &event.topic,
            key_hash: event.envelope.key_hash(),
            state: OutboxState::Pending.as_str(),
            due_at: event.created_at,
        }
    }
}

#[cfg(feature = "sqlite")]
mod on_sqlite {
    use diesel::{ExpressionMethods, RunQueryDsl, connection::LoadConnection, sqlite::Sqlite};
    use diesel_async::RunQueryDsl as AsyncRunQueryDsl;

    use super::*;

    #[diesel::declare_sql_function]
    extern "SQL" {
        /// The id of the row that this connection inserted last.
        fn last_insert_rowid() -> diesel::sql_types::BigInt;
    }

    impl StageBackend for Sqlite {
        // A plain BEGIN takes the write lock at the first write, and fails there at once when another connection
        // has written since the first read. Writing first, nothing, waits for the lock instead.
        const AFTER_BEGIN: &'static str = "DELETE FROM outbox_queue WHERE 0";

        async fn insert<C: AsyncConnection<Backend = Self>>(
            connection: &mut C,
            events: &[StagedEvent],
        ) -> QueryResult<()> {
            for event in events {
                let row = diesel::insert_into(event_production_log::table).values(StagedRow::from(event));
                AsyncRunQueryDsl::execute(row, connection).await?;
                let queued = diesel::insert_into(outbox_queue::table)
                    .values((outbox_queue::production_id.eq(last_insert_rowid()), QueuedRow::from(event)));
                AsyncRunQueryDsl::execute(queued, connection).await?;
            }
            Ok(())
        }

        fn insert_blocking<C: LoadConnection<Backend = Self>>(
            connection: &mut C,
            events: &[StagedEvent],
        ) -> QueryResult<()> {
            for event in events {
                let row = diesel::insert_into(event_production_log::table).values(StagedRow::from(event));
                RunQueryDsl::execute(row, connection)?;
                let queued = diesel::insert_into(outbox_queue::table)
                    .values((outbox_queue::production_id.eq(last_insert_rowid()), QueuedRow::from(event)));
                RunQueryDsl::execute(queued, connection)?;
            }
            Ok(())
        }
    }
}
