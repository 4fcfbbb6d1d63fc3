//! `listeners`: what this program handles, and how.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::review::Who;
use crate::{
    cli::{
        exit::{Exit, UsageError},
        explain::paused,
        output::{Output, Table, span},
        service::Service,
    },
    config::nearest,
    error::{BoxError, Error, ErrorKind},
    listen::{ListenerDeclaration, ListenerOptions, Location, Order},
    store::ListenerPause,
};

/// Shows what this program handles.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  SERVICE listeners\n  SERVICE listeners pause send_confirmation --reason 'mail is down'"
)]
pub(crate) struct ListenersArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Stop running a listener, on every instance; its events wait
    Pause {
        /// The listener
        name: String,
        #[command(flatten)]
        who: Who,
    },
    /// Let a paused listener go on
    Resume {
        /// The listener
        name: String,
    },
}

/// A listener as it runs.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    group: String,
    topics: &'static [&'static str],
    event_type: &'static str,
    transactional: bool,
    options: ListenerOptions,
    /// `None` when the database cannot be asked.
    paused: Option<bool>,
    location: Location,
}

pub(crate) async fn run(args: ListenersArgs, service: &Service) -> Result<Exit, BoxError> {
    match args.action {
        None => list(service).await,
        Some(Action::Pause { name, who }) => pause(&name, &who, service).await,
        Some(Action::Resume { name }) => resume(&name, service).await,
    }
}

async fn list(service: &Service) -> Result<Exit, BoxError> {
    let declarations = service.listeners();
    service.config().check_listeners(declarations.iter().map(|declaration| declaration.name))?;
    let paused = paused_or_unknown(&declarations, service).await;
    let rows = declarations.into_iter().map(|declaration| {
        let group = service.group_of(declaration).to_owned();
        Ok(Row {
            name: declaration.name,
            topics: declaration.topics,
            event_type: declaration.event_type,
            transactional: declaration.handle.is_transactional(),
            options: service.config().listener_options(declaration)?,
            paused: paused.as_ref().map(|paused| paused.contains(&(group.clone(), declaration.name.to_owned()))),
            location: declaration.location,
            group,
        })
    });
    let rows = rows.collect::<Result<Vec<_>, BoxError>>()?;
    service.output().print(&rows, |rows| table(rows))?;
    Ok(if rows.is_empty() { Exit::NothingFound } else { Exit::Done })
}

/// Which listeners are paused, if the database can be asked: the list is useful without it.
async fn paused_or_unknown(
    declarations: &[&'static ListenerDeclaration],
    service: &Service,
) -> Option<BTreeSet<(String, String)>> {
    let groups = declarations.iter().map(|declaration| service.group_of(declaration).to_owned()).collect();
    let store = service.store().await.ok()?;
    paused(&*store, groups).await.ok()
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "this program has no listeners; annotate a function with `#[tracked_listener]`, and name its module \
                where the main is: `use handlers as _;`"
            .to_owned();
    }
    let mut table = Table::new(&[
        "listener",
        "group",
        "topics",
        "event type",
        "retries",
        "timeout",
        "at a time",
        "order",
        "dead letters",
        "state",
    ]);
    for row in rows {
        let state = match row.paused {
            Some(true) => "paused",
            Some(false) => "",
            None => "unknown",
        };
        table.row([
            row.name.to_owned(),
            row.group.clone(),
            row.topics.join(", "),
            row.event_type.to_owned(),
            row.options.retries.to_string(),
            span(row.options.timeout),
            row.options.concurrency.to_string(),
            if row.options.order == Order::Key { "key" } else { "none" }.to_owned(),
            row.options.dead_letter.to_string(),
            state.to_owned(),
        ]);
    }
    table.render()
}

async fn pause(name: &str, who: &Who, service: &Service) -> Result<Exit, BoxError> {
    let group = group_of(name, service)?;
    let store = service.store().await?;
    let pause = ListenerPause {
        group: group.clone(),
        listener: name.to_owned(),
        operator: who.operator()?,
        reason: who.reason.clone(),
        now: store.now().await?,
    };
    store.pause_listener(pause).await?;
    let text = format!("`{name}` is paused; its events wait until `listeners resume {name}`");
    say(service.output(), name, &group, "paused", text)?;
    Ok(Exit::Done)
}

async fn resume(name: &str, service: &Service) -> Result<Exit, BoxError> {
    let group = group_of(name, service)?;
    let store = service.store().await?;
    if !store.resume_listener(&group, name).await? {
        return Err(Error::new(ErrorKind::NotFound, format!("`{name}` is not paused")).into());
    }
    say(service.output(), name, &group, "running", format!("`{name}` goes on"))?;
    Ok(Exit::Done)
}

fn say(output: Output, name: &str, group: &str, state: &str, text: String) -> Result<(), BoxError> {
    output.print(&json!({ "listener": name, "group": group, "state": state }), |_| text)?;
    Ok(())
}

/// The group of the listener of that name.
fn group_of(name: &str, service: &Service) -> Result<String, BoxError> {
    let declarations = service.listeners();
    if let Some(declaration) = declarations.iter().find(|declaration| declaration.name == name) {
        return Ok(service.group_of(declaration).to_owned());
    }
    let cure = match nearest(name, declarations.iter().map(|declaration| declaration.name)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`listeners` shows those of this program".to_owned(),
    };
    Err(UsageError(format!("no listener `{name}`; {cure}")).into())
}
