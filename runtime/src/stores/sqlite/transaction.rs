//! Transactions of handlers and publishers.
//!
//! One at a time in a process: it holds the writer's turn until it ends. Should it be dropped, its connection is closed,
//! which rolls it back, before the turn passes on.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use diesel::{
    QueryResult,
    connection::{AnsiTransactionManager, TransactionManager},
    sqlite::SqliteConnection,
};

use super::{SqliteStore, blocking, connect::Location, inbox, writer::Turn};
use crate::{
    connection::{AsyncSqliteConnection, SyncTx, Tx},
    error::{Error, ErrorKind, Result},
    store::{BlockingWork, OpenTransaction, Settlement, TransactionStore},
};

/// The connection of the transaction that is next. There is never more than one.
#[derive(Clone)]
pub(super) struct Spare(Arc<(Location, Mutex<Option<AsyncSqliteConnection>>)>);

impl Spare {
    pub(super) fn new(location: Location) -> Self {
        Self(Arc::new((location, Mutex::default())))
    }

    async fn take(&self) -> Result<AsyncSqliteConnection> {
        let kept = self.0.1.lock().unwrap_or_else(PoisonError::into_inner).take();
        match kept {
            Some(connection) => Ok(connection),
            None => {
                let location = self.0.0.clone();
                Ok(AsyncSqliteConnection::new(blocking(move || location.writer()).await?))
            }
        }
    }

    fn put_back(&self, connection: AsyncSqliteConnection) {
        *self.0.1.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }
}

#[async_trait]
impl TransactionStore for SqliteStore {
    async fn begin(&self) -> Result<Box<dyn OpenTransaction>> {
        let turn = self.writer.turn().await?;
        let connection = self.spare.take().await?;
        let mut transaction = SqliteTransaction { connection, _turn: turn, spare: self.spare.clone() };
        transaction
            .connection
            .spawn_blocking(|connection| AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE"))
            .await?;
        Ok(Box::new(transaction))
    }
}

/// Dropped in this order: the connection is closed before the turn passes on.
struct SqliteTransaction {
    connection: AsyncSqliteConnection,
    _turn: Turn,
    spare: Spare,
}

#[async_trait]
impl OpenTransaction for SqliteTransaction {
    fn tx(&mut self) -> Tx<'_> {
        Tx::Sqlite(&mut self.connection)
    }

    async fn run_blocking(&mut self, work: BlockingWork) -> Result<()> {
        let done = self
            .connection
            .spawn_blocking(move |connection| {
                Ok(catch_unwind(AssertUnwindSafe(|| work(&mut SyncTx::Sqlite(connection)))).map_err(panic_message))
            })
            .await?;
        done.map_err(|message| Error::new(ErrorKind::Store, "blocking work panicked").caused_by(message))
    }

    async fn settle(&mut self, settlement: &Settlement, instance: &str) -> Result<bool> {
        let (settlement, instance) = (settlement.clone(), instance.to_owned());
        self.connection
            .spawn_blocking(move |connection| Ok(inbox::settle_one(connection, &settlement, &instance)))
            .await?
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.end(|connection| {
            let depth = AnsiTransactionManager::transaction_manager_status_mut(connection).transaction_depth()?;
            if depth.is_none_or(|depth| depth.get() != 1) {
                return Err(diesel::result::Error::BrokenTransactionManager);
            }
            AnsiTransactionManager::commit_transaction(connection)
        })
        .await
    }

    async fn rollback(self: Box<Self>) -> Result<()> {
        self.end(|connection| {
            while AnsiTransactionManager::transaction_manager_status_mut(connection).transaction_depth()?.is_some() {
                AnsiTransactionManager::rollback_transaction(connection)?;
            }
            Ok(())
        })
        .await
    }
}

impl SqliteTransaction {
    /// Ends the transaction and keeps the connection; one that fails to end is closed.
    async fn end(
        mut self,
        ending: impl FnOnce(&mut SqliteConnection) -> QueryResult<()> + Send + 'static,
    ) -> Result<()> {
        self.connection.spawn_blocking(ending).await?;
        self.spare.put_back(self.connection);
        Ok(())
    }
}

/// What a panic said.
fn panic_message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => {
            panic.downcast_ref::<&str>().map_or_else(|| "a panic without a message".into(), ToString::to_string)
        }
    }
}
