//! Transactions of handlers and publishers, on connections of their own.

use async_trait::async_trait;
use deadpool::managed::Pool;
use diesel::{connection::TransactionManagerStatus, sql_types::Integer};
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};
use futures_util::try_join;

use super::{
    PostgresStore, inbox,
    pool::{Batch, Connection, Connections, checkout, stop_spoiled},
    statement::Statement,
};
use crate::{
    connection::Tx,
    error::{Error, ErrorKind, Result},
    store::{BlockingWork, OpenTransaction, Settlement, TransactionStore},
};

#[async_trait]
impl TransactionStore for PostgresStore {
    async fn begin(&self) -> Result<Box<dyn OpenTransaction>> {
        let mut connection = checkout(&self.handlers).await?;
        AnsiTransactionManager::begin_transaction(&mut **connection).await?;
        Ok(Box::new(PostgresTransaction { connection, pool: self.handlers.clone(), ended: false }))
    }
}

/// Dropped before it has ended, its connection is not used again, and what the server still runs on it is cancelled.
struct PostgresTransaction {
    connection: Connection,
    pool: Pool<Connections>,
    ended: bool,
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.connection.spoil();
        let (running, pool) = (self.connection.cancel_token(), self.pool.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // By now the connection is back in the pool.
                stop_spoiled(&pool, &running).await;
            });
        }
    }
}

#[async_trait]
impl OpenTransaction for PostgresTransaction {
    fn tx(&mut self) -> Tx<'_> {
        Tx::Postgres(&mut self.connection)
    }

    async fn run_blocking(&mut self, _work: BlockingWork) -> Result<()> {
        Err(Error::new(
            ErrorKind::Config,
            "PostgreSQL has no synchronous connection here; make the listener `async`, with `&mut Tx<'_>`",
        ))
    }

    async fn settle(&mut self, settlement: &Settlement, instance: &str) -> Result<bool> {
        // From here on the claim is locked: a process that stands still must not hold up who takes over.
        let hurry = self.connection.batch("SET LOCAL idle_in_transaction_session_timeout = '5s'");
        let settle = inbox::settle_one(&self.connection, settlement, instance);
        let (hurried, settled) = tokio::join!(hurry, settle);
        hurried?;
        settled
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        let depth = status(&mut self.connection).transaction_depth()?;
        if depth.is_none_or(|depth| depth.get() != 1) {
            return Err(Error::from(diesel::result::Error::BrokenTransactionManager));
        }
        // The server answers COMMIT with success even when a statement had failed and it rolls back; the question
        // before it does not.
        let alive = Statement::<Integer>::new("SELECT 1").row::<i32>(&self.connection);
        try_join!(alive, self.connection.batch("COMMIT"))?;
        self.finished();
        Ok(())
    }

    async fn rollback(mut self: Box<Self>) -> Result<()> {
        self.connection.batch("ROLLBACK").await?;
        self.finished();
        Ok(())
    }
}

impl PostgresTransaction {
    /// The transaction has ended, savepoints included: back to the pool.
    fn finished(&mut self) {
        *status(&mut self.connection) = TransactionManagerStatus::default();
        self.ended = true;
    }
}

fn status(connection: &mut AsyncPgConnection) -> &mut TransactionManagerStatus {
    AnsiTransactionManager::transaction_manager_status_mut(connection)
}
