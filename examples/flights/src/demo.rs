//! The whole job: migrate, publish and consume at once until nothing is left, then say what the tables hold.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use diesel::{ExpressionMethods, QueryDsl, dsl::count_star};
use diesel_async::RunQueryDsl;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracked_events::{
    BoxError, Config, Handle, Output, Publisher, Service, Tracked, on, redacted_url, store::ConsumptionStatus,
    stores::schema::event_consumption_log as consumed,
};

use crate::{
    import,
    summary::{self, Run},
    timetable::{Outcome, Timetable},
};

/// The file that comes with the example.
const WEEK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/flights-2013-01-week1.csv");

/// Import a file of flights, and handle what happened to them.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Demo {
    /// The file; a week of departures from New York when there is none
    #[arg(value_name = "CSV")]
    file: Option<PathBuf>,
}

impl Demo {
    /// Runs the job; a job that was killed goes on where it stopped, one that is done is left as it is.
    pub(crate) async fn run(self, service: &Service) -> Result<(), BoxError> {
        let timetable = Timetable::read(self.file.as_deref().unwrap_or(Path::new(WEEK)))?;
        let config = configuration(service);
        let database_url = redacted_url(&config.database_url);
        let handle = Tracked::builder(&config.service).config(config).setup(crate::setup).start().await?;
        let outcome = tokio::select! {
            done = import_and_handle(&handle, timetable, draw_target(service.output())) => done.map(Some),
            interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| None).map_err(Into::into),
        };
        let summary = match outcome {
            Ok(Some(run)) => summary::read(handle.publisher(), run).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        handle.drain().await?;
        let mut out = io::stdout().lock();
        match (summary?, service.output()) {
            (Some(summary), Output::Json) => writeln!(out, "{}", serde_json::to_string(&summary)?)?,
            (Some(summary), Output::Text) => {
                writeln!(out, "{summary}")?;
                writeln!(out, "look around with: cargo run -p flights -- --database-url {database_url} events list")?;
            }
            (None, _) => writeln!(out, "stopped; run it again to go on from here")?,
        }
        Ok(())
    }
}

/// The service's configuration. The instance has a name, so that a run takes over at once from one that was killed.
fn configuration(service: &Service) -> Config {
    let mut config = service.config().clone();
    if config.database_url == Config::new("").database_url {
        let directory = if Path::new("target").is_dir() { "target/" } else { "" };
        config.database_url = format!("sqlite:{directory}flights.db");
    }
    config.instance.get_or_insert_with(|| "demo".to_owned());
    config
}

fn draw_target(output: Output) -> ProgressDrawTarget {
    if output == Output::Json || !io::stderr().is_terminal() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    }
}

async fn import_and_handle(handle: &Handle, timetable: Timetable, target: ProgressDrawTarget) -> Result<Run, BoxError> {
    let publisher = handle.publisher();
    let begun = Instant::now();
    let bars = Bars::new(&timetable, target)?;
    let watch = tokio::spawn(bars.clone().watch_handled(publisher.clone()));
    let open_before = has_open_work(handle).await?;
    let rows = import::import(publisher, timetable, &bars.published).await?;
    handle.idle().await?;
    watch.abort();
    bars.all.clear()?;
    Ok(if rows == 0 && !open_before { Run::AlreadyComplete } else { Run::Imported { rows, took: begun.elapsed() } })
}

/// Whether an earlier run left something to do.
async fn has_open_work(handle: &Handle) -> Result<bool, BoxError> {
    let backlog = handle.store().backlog().await?;
    let unread: i64 = backlog.embedded_lag.iter().map(|group| group.lag).sum();
    let open = count(
        handle.publisher(),
        &[ConsumptionStatus::Received, ConsumptionStatus::Processing, ConsumptionStatus::Failed],
    );
    Ok(backlog.outbox_pending + unread + open.await? > 0)
}

/// Deliveries in one of these statuses.
async fn count(publisher: &Publisher, statuses: &[ConsumptionStatus]) -> Result<i64, BoxError> {
    let words: Vec<_> = statuses.iter().map(|status| status.as_str()).collect();
    let query = consumed::table.filter(consumed::status.eq_any(words)).select(count_star());
    let mut transaction = publisher.begin().await?;
    let mut tx = transaction.tx();
    let found = on!(&mut tx, |connection| query.first(connection).await)?;
    transaction.rollback().await?;
    Ok(found)
}

#[derive(Clone)]
struct Bars {
    all: MultiProgress,
    published: ProgressBar,
    handled: ProgressBar,
}

impl Bars {
    fn new(timetable: &Timetable, target: ProgressDrawTarget) -> Result<Self, BoxError> {
        let all = MultiProgress::with_draw_target(target);
        let flights = u64::try_from(timetable.flights.len())?;
        // Every flight has a notice, and a departure is recorded and tracked as well.
        let has_departed = |outcome: &Outcome| matches!(outcome, Outcome::Departed { .. });
        let departed = timetable.flights.iter().filter(|flight| has_departed(&flight.outcome)).count();
        let deliveries = flights + 2 * u64::try_from(departed)?;
        let style = ProgressStyle::with_template("{prefix:>9} {bar:40} {pos:>6}/{len} {elapsed:>4}")?;
        let bar = |length, name| all.add(ProgressBar::new(length).with_style(style.clone()).with_prefix(name));
        let (published, handled) = (bar(flights, "published"), bar(deliveries, "handled"));
        Ok(Self { published, handled, all })
    }

    /// Counting reads the whole log, so it is done once in a while, and only for somebody who watches.
    async fn watch_handled(self, publisher: Publisher) -> Result<(), BoxError> {
        while !self.all.is_hidden() {
            let handled = count(&publisher, &[ConsumptionStatus::Processed]).await?;
            self.handled.set_position(handled.try_into()?);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }
}
