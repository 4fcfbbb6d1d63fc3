//! `doctor`: everything a service needs, checked one after the other, with what to do about it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use clap::Args;
use serde::Serialize;

use crate::{
    brokers::{self, BrokerOptions},
    cli::{
        exit::Exit,
        explain::paused,
        output::{Output, counted, span},
        service::Service,
        setup::SetupHook,
    },
    clock::Clock,
    config::{Config, redacted_url},
    error::{BoxError, ConfigError, Error, ErrorKind, Result, chain},
    store::SharedStore,
    stores::migrations::{self, SchemaState},
};

/// Clocks that differ by more are worth a look; due times follow the database's clock all the same.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(2);
/// How long database and broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// An instance that was silent for this long is not counted as running.
const SILENT: Duration = Duration::from_secs(30);

/// Checks everything a service needs, and says what to do.
#[derive(Args, Clone, Copy, Debug)]
#[command(
    after_help = "Each line is `ok`, `warn` or `fail`. Exit code 0: nothing failed; 4: configuration or schema; 5: database or broker.\n\nExample:\n  SERVICE doctor"
)]
pub(crate) struct DoctorArgs {}

/// How much is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One line of the answer.
#[derive(Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    detail: String,
    /// How the process ends because of it.
    #[serde(skip)]
    exit: Exit,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.0.push(Finding { check, verdict: Verdict::Ok, detail: detail.into(), exit: Exit::Done });
    }

    fn warn(&mut self, check: &'static str, detail: impl Into<String>) {
        self.0.push(Finding { check, verdict: Verdict::Warn, detail: detail.into(), exit: Exit::Done });
    }

    fn fail(&mut self, check: &'static str, error: &(dyn std::error::Error + 'static)) {
        self.0.push(Finding { check, verdict: Verdict::Fail, detail: chain(error), exit: Exit::of(error) });
    }

    /// The first failure decides: what comes after it may only follow from it.
    fn exit(&self) -> Exit {
        self.0.iter().map(|finding| finding.exit).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done)
    }
}

pub(crate) async fn run(
    _: DoctorArgs,
    loaded: Result<Config, ConfigError>,
    setup: SetupHook,
    output: Output,
) -> Result<Exit, BoxError> {
    let mut findings = Findings::default();
    match loaded {
        Err(problems) => findings.fail("configuration", &problems),
        Ok(config) => Box::pin(examine(&Service::new(config, setup, output), &mut findings)).await,
    }
    output.print(&findings.0, |found| found.iter().map(line).collect())?;
    Ok(findings.exit())
}

fn line(finding: &Finding) -> String {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok  ",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
    };
    format!("{verdict}  {:<14} {}\n", finding.check, finding.detail.replace('\n', "\n                     "))
}

async fn examine(service: &Service, findings: &mut Findings) {
    let config = service.config();
    findings.ok("configuration", format!("service `{}`, every setting understood", config.service));
    listeners(service, findings);
    let Some(store) = database(service, findings).await else { return };
    clock(&store, findings).await;
    broker(service, &store, findings).await;
    for (check, result) in [
        ("instances", instances(service, &store).await),
        ("dead letters", dead_letters(&store).await),
        ("outbox", outbox(&store).await),
        ("paused", paused_listeners(service, &store).await),
    ] {
        match result {
            Ok((Verdict::Ok, detail)) => findings.ok(check, detail),
            Ok((_, detail)) => findings.warn(check, detail),
            Err(error) => findings.fail(check, &error),
        }
    }
}

fn listeners(service: &Service, findings: &mut Findings) {
    let declarations = service.listeners();
    let mut problems = ConfigError::default();
    let names = service.config().check_listeners(declarations.iter().map(|declaration| declaration.name));
    let options = declarations.iter().map(|declaration| service.config().listener_options(declaration).map(|_| ()));
    for wrong in std::iter::once(names).chain(options).filter_map(Result::err) {
        wrong.problems().iter().for_each(|problem| problems.push(problem.clone()));
    }
    match problems.into_result() {
        Err(problems) => findings.fail("listeners", &problems),
        Ok(()) if declarations.is_empty() => findings.warn(
            "listeners",
            "this program has none; name the module they are in where the main is: `use handlers as _;`",
        ),
        Ok(()) => {
            let topics: BTreeSet<_> = declarations.iter().flat_map(|declaration| declaration.topics).collect();
            let topics: Vec<_> = topics.into_iter().map(|topic| format!("`{topic}`")).collect();
            findings.ok("listeners", format!("{} on {}", counted(declarations.len(), "listener"), topics.join(", ")));
        }
    }
}

async fn database(service: &Service, findings: &mut Findings) -> Option<SharedStore> {
    let url = &service.config().database_url;
    let state = match in_time("the database", migrations::check(url)).await {
        Ok(state) => state,
        Err(error) => {
            findings.fail("database", &error);
            return None;
        }
    };
    findings.ok("database", format!("`{}` can be reached", redacted_url(url)));
    match state.require_current() {
        Ok(()) => findings.ok("schema", "up to date"),
        Err(error) if service.config().migrate && !matches!(state, SchemaState::Ahead { .. }) => {
            findings.warn("schema", format!("{error}, or start the service: `run` migrates it"));
            return None;
        }
        Err(error) => {
            findings.fail("schema", &error);
            return None;
        }
    }
    match in_time("the database", service.store()).await {
        Ok(store) => Some(store),
        Err(error) => {
            findings.fail("database", &error);
            None
        }
    }
}

async fn clock(store: &SharedStore, findings: &mut Findings) {
    match store.now().await {
        Ok(database) => {
            let here = Clock::system().now();
            let difference = here.since(database).max(database.since(here));
            let detail = format!("{} apart from the database's", span(difference));
            if difference > CLOCK_DIFFERENCE {
                findings.warn("clock", format!("{detail}; set this machine's clock by a time server"));
            } else {
                findings.ok("clock", detail);
            }
        }
        Err(error) => findings.fail("clock", &error),
    }
}

async fn broker(service: &Service, store: &SharedStore, findings: &mut Findings) {
    let config = service.config();
    let (_published, seen) = tokio::sync::watch::channel(0);
    let options = BrokerOptions {
        url: config.broker_url.clone(),
        store: Arc::clone(store),
        clock: Clock::system(),
        embedded_partitions: config.embedded_partitions,
        poll_interval: config.poll_interval,
        published: seen,
    };
    let checked = in_time("the broker", async { brokers::open(options).await?.check().await }).await;
    match checked {
        Ok(detail) => findings.ok("broker", format!("`{}`: {detail}", redacted_url(&config.broker_url))),
        Err(error) => findings.fail("broker", &error),
    }
}

type Opinion = Result<(Verdict, String)>;

async fn instances(service: &Service, store: &SharedStore) -> Opinion {
    let now = store.now().await?;
    let all = store.instances().await?;
    let own = all.iter().filter(|instance| instance.service == service.config().service);
    let running = own.filter(|instance| now.since(instance.last_beat_at) < SILENT).count();
    Ok(match running {
        0 => (Verdict::Warn, "none is running; start one with `run`".to_owned()),
        _ => (Verdict::Ok, format!("{} running", counted(running, "instance"))),
    })
}

async fn dead_letters(store: &SharedStore) -> Opinion {
    let waiting: i64 = store.backlog().await?.listeners.iter().map(|listener| listener.review).sum();
    Ok(match waiting {
        0 => (Verdict::Ok, "none waits for review".to_owned()),
        _ => (Verdict::Warn, format!("{waiting} wait for review; `dlq list --by-failure` shows why")),
    })
}

async fn outbox(store: &SharedStore) -> Opinion {
    let backlog = store.backlog().await?;
    Ok(match (backlog.outbox_review, backlog.outbox_failed) {
        (0, 0) => (Verdict::Ok, format!("{} to publish", backlog.outbox_pending)),
        (0, failed) => (Verdict::Warn, format!("{failed} wait for another try; `outbox list` shows why")),
        (given_up, _) => {
            (Verdict::Warn, format!("{given_up} could not be published; see `outbox list`, then `outbox retry`"))
        }
    })
}

async fn paused_listeners(service: &Service, store: &SharedStore) -> Opinion {
    let groups = service.listeners().into_iter().map(|declaration| service.group_of(declaration).to_owned()).collect();
    let paused = paused(&**store, groups).await?;
    let names: Vec<_> = paused.iter().map(|(_, listener)| format!("`{listener}`")).collect();
    Ok(match names.is_empty() {
        true => (Verdict::Ok, "no listener".to_owned()),
        false => (Verdict::Warn, format!("{}; `listeners resume NAME` lets one go on", names.join(", "))),
    })
}

async fn in_time<T>(who: &str, answer: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| {
        let problem = format!("{who} did not answer within {}; check that it runs and the network", span(TIMEOUT));
        Error::new(ErrorKind::StoreUnavailable, problem)
    };
    tokio::time::timeout(TIMEOUT, answer).await.map_err(late)?
}
