//! Every database of this build, against all that a store must do.

#[cfg(feature = "sqlite")]
tracked_events_conformance::store_suite!(sqlite, tracked_events_conformance::sqlite::fixture);

#[cfg(feature = "postgres")]
tracked_events_conformance::store_suite!(postgres, tracked_events_conformance::postgres::fixture);
