//! The end of a `#[tracked_publish]` function: its events are staged and it commits, or what it did is rolled back.

use diesel::result::Error as DieselError;

use super::{
    nudge,
    publisher::Publisher,
    stage::{AsyncStage, Ending, PublishOptions, StageScope, SyncStage, staged},
};
use crate::{
    clock::{Clock, Timestamp},
    error::Result,
    event::Publishable,
    store::StagedEvent,
};

/// What a publishing function may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be published",
    label = "return a `Result` of an event, of an `Option` or `Vec` of one, or of `Published<T, E>`",
    note = "its error needs `From<diesel::result::Error>`"
)]
pub trait PublishResult: Sized {
    /// The rows of its events; `None` when the function failed.
    fn rows(&self, options: &PublishOptions, service: &str, now: Timestamp) -> Option<Result<Vec<StagedEvent>>>;

    /// A function's failure to stage.
    fn failed(error: DieselError) -> Self;
}

impl<P: Publishable, E: From<DieselError>> PublishResult for std::result::Result<P, E> {
    fn rows(&self, options: &PublishOptions, service: &str, now: Timestamp) -> Option<Result<Vec<StagedEvent>>> {
        self.as_ref().ok().map(|events| staged(events.events(), options, service, now))
    }

    fn failed(error: DieselError) -> Self {
        Err(error.into())
    }
}

type Rows<R> = fn(&R, &PublishOptions, &str, Timestamp) -> Option<Result<Vec<StagedEvent>>>;

/// A publishing function, by what it returns.
///
/// It holds what [`PublishResult`] can do rather than asking for it again, so that a type that does not fit is reported
/// once.
pub struct PublishFunction<R> {
    rows: Rows<R>,
    failed: fn(DieselError) -> R,
}

/// The publishing function that returns `R`.
#[must_use]
pub const fn returns<R: PublishResult>() -> PublishFunction<R> {
    PublishFunction { rows: R::rows, failed: R::failed }
}

impl<R> PublishFunction<R> {
    /// Ends a function that stages on `connection`, if it could begin.
    pub async fn finish<C: AsyncStage>(
        self,
        connection: &mut C,
        begun: std::result::Result<(StageScope, R), DieselError>,
        options: &PublishOptions,
        service: &str,
    ) -> R {
        let (scope, result) = match begun {
            Ok(begun) => begun,
            Err(error) => return (self.failed)(error),
        };
        let ended = match (self.rows)(&result, options, service, Clock::system().now()) {
            Some(rows) => commit(connection, scope, rows).await,
            None => {
                // The function's own error says more than a failed rollback would.
                let _ = connection.end(scope, Ending::Rollback).await;
                return result;
            }
        };
        if let Err(error) = ended {
            let _ = connection.end(scope, Ending::Rollback).await;
            return (self.failed)(error);
        }
        result
    }

    /// Ends a function that is not `async`.
    pub fn finish_blocking(
        self,
        connection: &mut dyn SyncStage,
        begun: std::result::Result<(StageScope, R), DieselError>,
        options: &PublishOptions,
        service: &str,
    ) -> R {
        let (scope, result) = match begun {
            Ok(begun) => begun,
            Err(error) => return (self.failed)(error),
        };
        let ended = match (self.rows)(&result, options, service, Clock::system().now()) {
            Some(rows) => commit_blocking(connection, scope, rows),
            None => {
                let _ = connection.end(scope, Ending::Rollback);
                return result;
            }
        };
        if let Err(error) = ended {
            let _ = connection.end(scope, Ending::Rollback);
            return (self.failed)(error);
        }
        result
    }

    /// Ends a function that takes a publisher: its events are staged in a transaction of their own.
    pub async fn finish_alone(self, publisher: &Publisher, result: R, options: &PublishOptions) -> R {
        let ended = match (self.rows)(&result, options, publisher.service(), publisher.now()) {
            Some(Ok(rows)) => publisher.stage_alone(rows).await,
            Some(Err(error)) => Err(error),
            None => return result,
        };
        match ended {
            Ok(()) => result,
            Err(error) => (self.failed)(to_diesel(error)),
        }
    }
}

async fn commit<C: AsyncStage>(
    connection: &mut C,
    scope: StageScope,
    rows: Result<Vec<StagedEvent>>,
) -> std::result::Result<(), DieselError> {
    let rows = rows.map_err(to_diesel)?;
    if !rows.is_empty() {
        connection.insert(&rows).await?;
    }
    connection.end(scope, Ending::Commit).await?;
    nudge::staged();
    Ok(())
}

fn commit_blocking(
    connection: &mut dyn SyncStage,
    scope: StageScope,
    rows: Result<Vec<StagedEvent>>,
) -> std::result::Result<(), DieselError> {
    let rows = rows.map_err(to_diesel)?;
    if !rows.is_empty() {
        connection.insert(&rows)?;
    }
    connection.end(scope, Ending::Commit)?;
    nudge::staged();
    Ok(())
}

/// The error that a publishing function's own error type is sure to take.
fn to_diesel(error: crate::Error) -> DieselError {
    DieselError::SerializationError(Box::new(error))
}
