//! `status`: how much work is open.

use std::{collections::BTreeSet, time::Duration};

use clap::Args;
use serde::Serialize;

use crate::{
    cli::{
        exit::Exit,
        explain::paused,
        output::{Table, instant, span},
        service::Service,
    },
    clock::Timestamp,
    error::{BoxError, Result},
    store::{Backlog, InstanceBeat, Store},
};

/// How often a person's view is renewed.
const TICK: Duration = Duration::from_secs(2);

/// Shows how much work is open.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = "Examples:\n  SERVICE status\n  SERVICE status --watch --json     # one line every two seconds")]
pub(crate) struct StatusArgs {
    /// Look again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// Everything that `status` tells.
#[derive(Serialize)]
struct Status {
    at: Timestamp,
    service: String,
    backlog: Backlog,
    instances: Vec<InstanceBeat>,
    paused: Vec<PausedListener>,
}

#[derive(Serialize)]
struct PausedListener {
    group: String,
    listener: String,
}

pub(crate) async fn run(args: &StatusArgs, service: &Service) -> Result<Exit, BoxError> {
    let store = service.store().await?;
    if !args.watch {
        service.output().print(&status(service, &*store).await?, text)?;
        return Ok(Exit::Done);
    }
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = tick.tick() => service.output().refresh(&status(service, &*store).await?, text)?,
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
        }
    }
}

async fn status(service: &Service, store: &dyn Store) -> Result<Status> {
    let backlog = store.backlog().await?;
    let declared = service.listeners().into_iter().map(|declaration| service.group_of(declaration).to_owned());
    let groups: BTreeSet<_> =
        declared.chain(backlog.listeners.iter().map(|listener| listener.consumer_group.clone())).collect();
    let paused = paused(store, groups).await?;
    Ok(Status {
        at: store.now().await?,
        service: service.config().service.clone(),
        backlog,
        instances: store.instances().await?,
        paused: paused.into_iter().map(|(group, listener)| PausedListener { group, listener }).collect(),
    })
}

fn text(status: &Status) -> String {
    let Status { at, service, backlog, instances, paused } = status;
    let mut text = format!("{service} at {}\n\n{}\n", instant(*at), outbox(backlog, *at));
    text.push_str(&listeners(backlog, paused, *at));
    if !backlog.embedded_lag.is_empty() {
        let mut table = Table::new(&["group", "topic", "not read yet"]);
        for lag in &backlog.embedded_lag {
            table.row([lag.consumer_group.clone(), lag.topic.clone(), lag.lag.to_string()]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    text.push_str(&format!("\n{}", running(instances, *at)));
    text
}

fn outbox(backlog: &Backlog, now: Timestamp) -> String {
    let Backlog { outbox_pending, outbox_failed, outbox_review, outbox_oldest_due_at, .. } = backlog;
    let oldest = match outbox_oldest_due_at {
        Some(due) if *due <= now => format!(", the oldest due since {}", span(now.since(*due))),
        _ => String::new(),
    };
    format!(
        "outbox: {outbox_pending} to publish ({outbox_failed} of them after a failure), {outbox_review} for review{oldest}\n"
    )
}

fn listeners(backlog: &Backlog, paused: &[PausedListener], now: Timestamp) -> String {
    let is_paused = |group: &str, name: &str| paused.iter().any(|entry| entry.group == group && entry.listener == name);
    let mut table = Table::new(&[
        "listener",
        "group",
        "waiting",
        "held",
        "retrying",
        "taken again",
        "for review",
        "oldest retry",
        "state",
    ]);
    for listener in &backlog.listeners {
        let oldest = match listener.oldest_due_at {
            Some(due) if due <= now => format!("due since {}", span(now.since(due))),
            Some(due) => format!("due in {}", span(due.since(now))),
            None => String::new(),
        };
        table.row([
            listener.handler_name.clone(),
            listener.consumer_group.clone(),
            listener.waiting.to_string(),
            listener.held.to_string(),
            listener.due.to_string(),
            listener.claimed.to_string(),
            listener.review.to_string(),
            oldest,
            if is_paused(&listener.consumer_group, &listener.handler_name) { "paused" } else { "" }.to_owned(),
        ]);
    }
    for entry in paused {
        let listed = |listener: &crate::store::ListenerBacklog| {
            listener.consumer_group == entry.group && listener.handler_name == entry.listener
        };
        if !backlog.listeners.iter().any(listed) {
            let none = || "0".to_owned();
            let (name, group) = (entry.listener.clone(), entry.group.clone());
            table.row([name, group, none(), none(), none(), none(), none(), String::new(), "paused".to_owned()]);
        }
    }
    if backlog.listeners.is_empty() && paused.is_empty() {
        return "listeners: nothing is open\n".to_owned();
    }
    table.render()
}

fn running(instances: &[InstanceBeat], now: Timestamp) -> String {
    if instances.is_empty() {
        return "no instance is running".to_owned();
    }
    let mut table = Table::new(&["instance", "service", "started (utc)", "last seen"]);
    for instance in instances {
        table.row([
            instance.name.clone(),
            instance.service.clone(),
            instant(instance.started_at),
            format!("{} ago", span(now.since(instance.last_beat_at))),
        ]);
    }
    table.render()
}
