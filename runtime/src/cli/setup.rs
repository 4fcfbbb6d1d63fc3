//! A service's set-up function, kept until the service starts.

use std::{pin::Pin, sync::Arc};

use crate::{BoxError, Setup, SetupFunction};

/// The future of a set-up function.
type SetupFuture<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

/// A set-up function of any type. Cheap to clone.
#[derive(Clone)]
pub(super) struct SetupHook(Arc<dyn for<'a> Fn(&'a mut Setup) -> SetupFuture<'a> + Send + Sync>);

impl SetupHook {
    pub(super) fn new<F>(function: F) -> Self
    where
        F: for<'a> SetupFunction<'a> + Clone + Sync + 'static,
    {
        Self(Arc::new(move |setup| function.clone().call(setup)))
    }

    pub(super) fn none() -> Self {
        Self(Arc::new(|_| Box::pin(std::future::ready(Ok(())))))
    }
}

impl<'a> SetupFunction<'a> for SetupHook {
    fn call(self, setup: &'a mut Setup) -> SetupFuture<'a> {
        (self.0)(setup)
    }
}
