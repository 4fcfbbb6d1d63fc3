//! Every broker of this build, against all that a broker must do.

#[cfg(feature = "sqlite")]
tracked_events_conformance::broker_suite!(embedded_sqlite, tracked_events_conformance::embedded::on_sqlite);

#[cfg(feature = "postgres")]
tracked_events_conformance::broker_suite!(embedded_postgres, tracked_events_conformance::embedded::on_postgres);

#[cfg(feature = "kafka")]
tracked_events_conformance::broker_suite!(kafka, tracked_events_conformance::kafka::fixture);

#[cfg(feature = "kafka")]
tracked_events_conformance::producer_suite!(kafka_producer, tracked_events_conformance::kafka::producer_fixture);
