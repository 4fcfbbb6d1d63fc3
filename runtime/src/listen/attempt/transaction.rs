//! A handler in the transaction that settles its event.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::{
    super::{EventContext, Group, Handle, HandlerFuture, Listener, panics::caught_blocking},
    End, Run,
};
use crate::{
    connection::{SyncTx, Tx},
    error::{Error, ErrorKind, HandlerError},
    publish::{DeliveryScope, run_to_the_end},
    store::{ConsumptionStatus, OpenTransaction},
};

type Call = for<'a> fn(&'a EventContext) -> HandlerFuture<'a>;
type CallWith = for<'a, 'c> fn(&'a EventContext, &'a mut Tx<'c>) -> HandlerFuture<'a>;
type BlockingCall = fn(&EventContext) -> Result<(), HandlerError>;
type BlockingCallWith = fn(&EventContext, &mut SyncTx<'_>) -> Result<(), HandlerError>;

/// A handler that can be called, with its transaction if it has one.
pub(super) enum Prepared {
    Async(Call),
    Blocking(BlockingCall),
    Transactional(CallWith, Box<dyn OpenTransaction>),
    BlockingTransactional(BlockingCallWith, Box<dyn OpenTransaction>),
}

impl Prepared {
    /// Opens the transaction of a transactional handler. The wait for it is none of the handler's time: where there is
    /// one writer, it is as long as the handlers before it take.
    pub(super) async fn begin(group: &Group, listener: &Listener) -> Result<Self, Error> {
        Ok(match listener.handle() {
            Handle::Async(call) => Self::Async(call),
            Handle::Blocking(call) => Self::Blocking(call),
            Handle::Transactional { call, .. } => Self::Transactional(call, open(group, listener).await?),
            Handle::BlockingTransactional { call, .. } => {
                Self::BlockingTransactional(call, open(group, listener).await?)
            }
        })
    }
}

async fn open(group: &Group, listener: &Listener) -> Result<Box<dyn OpenTransaction>, Error> {
    let store = Arc::clone(&group.parts.store);
    let limit = listener.options.processing_timeout;
    // In a task of its own: what is opened too late is rolled back, not left half open.
    let opened = timeout(limit, run_to_the_end(async move { store.begin().await })).await;
    opened.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::StoreUnavailable,
            "no transaction could be begun within `processing_timeout`; look for what holds the others open",
        ))
    })
}

impl Run<'_> {
    /// Runs a handler in a transaction that also settles its event.
    pub(super) async fn in_transaction<F>(&self, mut open: Box<dyn OpenTransaction>, handler: F) -> End
    where
        F: for<'a> FnOnce(&'a Self, &'a mut dyn OpenTransaction) -> BoxFuture<'a, End>,
    {
        let limit = self.runner.listener.options.processing_timeout;
        match handler(self, open.as_mut()).await {
            End::Done => {}
            end => {
                // The server rolls back by itself when it cannot be told.
                let _ = open.rollback().await;
                return end;
            }
        }
        failpoint!("attempt.succeeded");
        #[cfg(feature = "failpoints")]
        if !crate::failpoint::stands("attempt.transaction") {
            return open.commit().await.map_or_else(|error| End::Failed(error.into()), |()| End::Done);
        }
        let left = limit.saturating_sub(self.started.elapsed());
        match timeout(left, open.settle(&self.success(), &self.group.parts.instance)).await {
            Err(_) => return End::TimedOut("processing_timeout", limit),
            Ok(Err(error)) => return End::Failed(error.into()),
            Ok(Ok(false)) => {
                let _ = open.rollback().await;
                return End::Stale;
            }
            Ok(Ok(true)) => {}
        }
        failpoint!("attempt.settled");
        let left = limit.saturating_sub(self.started.elapsed());
        let committed = timeout(left, run_to_the_end(open.commit())).await;
        failpoint!("attempt.unknown");
        match committed {
            Ok(Ok(())) => End::Committed,
            Ok(Err(error)) => self.after_commit(End::Failed(error.into())).await,
            Err(_) => self.after_commit(End::TimedOut("processing_timeout", limit)).await,
        }
    }

    /// A commit that failed, or whose answer is missing, may have happened: the record knows. One that still comes
    /// through makes the settlement of `otherwise` a stale one.
    async fn after_commit(&self, otherwise: End) -> End {
        match self.group.parts.store.status_of(self.context.delivery.id).await {
            Ok(Some(ConsumptionStatus::Processed)) => End::Committed,
            Ok(_) => otherwise,
            Err(unknown) => End::Failed(HandlerError::from(unknown)),
        }
    }

    pub(super) async fn call_with(
        &self,
        open: &mut dyn OpenTransaction,
        call: for<'a, 'c> fn(&'a EventContext, &'a mut Tx<'c>) -> HandlerFuture<'a>,
    ) -> End {
        let mut tx = open.tx();
        self.run_async(call(&self.context, &mut tx)).await
    }

    pub(super) async fn call_blocking_with(
        &self,
        open: &mut dyn OpenTransaction,
        call: fn(&EventContext, &mut SyncTx<'_>) -> Result<(), HandlerError>,
    ) -> End {
        let context = Arc::clone(&self.context);
        let scope = DeliveryScope::new(&self.context.delivery, &self.runner.listener);
        let (tell, told) = tokio::sync::oneshot::channel();
        let work = Box::new(move |tx: &mut SyncTx<'_>| {
            let ended = caught_blocking(|| scope.enter_blocking(|| call(&context, tx)));
            // The attempt waits for this, unless its whole task is gone.
            let _ = tell.send(ended);
        });
        match open.run_blocking(work).await {
            Err(error) => End::Failed(error.into()),
            Ok(()) => match told.await {
                Ok(ended) => self.blocking_end(ended),
                Err(lost) => End::Failed(HandlerError::from(lost)),
            },
        }
    }
}
