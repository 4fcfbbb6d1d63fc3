//! `events`: searching the record, and one event's whole life.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    cli::{
        exit::{Exit, UsageError},
        explain::{Explanation, Length, Life, not_found, shortened},
        output::{Table, counted, instant},
        record::{Detail, Filter, Id, Page, Redaction, Shown, bytes_as_text, consumption_view, production_view},
        service::Service,
    },
    error::BoxError,
    store::{ConsumptionRecord, ProductionRecord, RecordQuery, Store},
};

/// Searches the record.
#[derive(Args, Clone, Debug)]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List events, newest first
    #[command(
        after_help = "Examples:\n  SERVICE events list --consumed --status FAILED --from 2h\n  SERVICE events list --published --topic booking-confirmed --key 42"
    )]
    List {
        #[command(flatten)]
        log: Log,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        page: Page,
    },
    /// Show all that is on record of an event, payload included
    #[command(
        after_help = "Examples:\n  SERVICE events show 0198c1a2-…\n  SERVICE events show '#123'        # row 123 of the consumption log"
    )]
    Show {
        /// The event's id, or `#` and the id of a row of the log
        id: Id,
        #[command(flatten)]
        log: Log,
    },
    /// Tell an event's whole life, from publishing to every attempt of every listener
    #[command(
        after_help = "Examples:\n  SERVICE events explain 0198c1a2-…\n  SERVICE events explain '#123'     # row 123 of the consumption log"
    )]
    Explain {
        /// The event's id, or `#` and the id of a row of the consumption log
        id: Id,
        /// Leave nothing out, however long it is
        #[arg(long)]
        full: bool,
    },
}

/// Which of the two logs; both, when neither flag is given.
#[derive(Args, Clone, Copy, Debug)]
#[group(multiple = false)]
struct Log {
    /// What this service published
    #[arg(long)]
    published: bool,
    /// What this service consumed
    #[arg(long)]
    consumed: bool,
}

impl Log {
    fn wants_published(self) -> bool {
        self.published || !self.consumed
    }

    fn wants_consumed(self) -> bool {
        self.consumed || !self.published
    }
}

pub(crate) async fn run(args: EventsArgs, service: &Service) -> Result<Exit, BoxError> {
    let store = service.store().await?;
    match args.action {
        Action::List { log, filter, page } => list(log, &filter, &page, service, &*store).await,
        Action::Show { id, log } => show(&id, log, service, &*store).await,
        Action::Explain { id, full } => {
            let explanation = Explanation::of(Life::of(&*store, &id).await?);
            let length = if full { Length::Full } else { Length::Screen };
            let redaction = service.redaction();
            service.output().print(&explanation.to_json(&redaction), |_| explanation.to_text(&redaction, length))?;
            Ok(Exit::Done)
        }
    }
}

/// Rows of both logs.
#[derive(Default)]
struct Found {
    published: Vec<ProductionRecord>,
    consumed: Vec<ConsumptionRecord>,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.published.is_empty() && self.consumed.is_empty()
    }

    fn views(&self, redaction: &Redaction, detail: Detail) -> Vec<Value> {
        let published = self.published.iter().map(|record| production_view(record, redaction, detail));
        let consumed = self.consumed.iter().map(|record| consumption_view(record, redaction, detail));
        published.chain(consumed).collect()
    }
}

async fn list(log: Log, filter: &Filter, page: &Page, service: &Service, store: &dyn Store) -> Result<Exit, BoxError> {
    if page.after.is_some() && log.wants_published() && log.wants_consumed() {
        return Err(UsageError("`--after` names a row of one log; add `--published` or `--consumed`".to_owned()).into());
    }
    let published = log.wants_published().then(|| filter.of_published());
    let consumed = log.wants_consumed().then(|| filter.of_consumed());
    let mut found = Found::default();
    // Without a flag, a filter that only one log knows searches that log.
    match (published, consumed) {
        (Some(Err(problem)), None) | (Some(Err(_)) | None, Some(Err(problem))) => return Err(problem.into()),
        (published, consumed) => {
            if let Some(Ok(query)) = published {
                found.published = store.produced(&page.of(query)).await?;
            }
            if let Some(Ok(query)) = consumed {
                found.consumed = store.consumed(&page.of(query)).await?;
            }
        }
    }
    service.output().print(&found.views(&service.redaction(), Detail::Line), |_| lists(&found, page))?;
    Ok(if found.is_empty() { Exit::NothingFound } else { Exit::Done })
}

fn lists(found: &Found, page: &Page) -> String {
    if found.is_empty() {
        return "no event matches".to_owned();
    }
    let mut text = String::new();
    if !found.published.is_empty() {
        text.push_str(&format!(
            "published ({})\n{}",
            counted(found.published.len(), "row"),
            published_table(&found.published)
        ));
        text.push_str(&next_page("--published", page, found.published.iter().map(|record| record.id)));
    }
    if !found.consumed.is_empty() {
        let gap = if text.is_empty() { "" } else { "\n" };
        text.push_str(&format!(
            "{gap}consumed ({})\n{}",
            counted(found.consumed.len(), "row"),
            consumed_table(&found.consumed)
        ));
        text.push_str(&next_page("--consumed", page, found.consumed.iter().map(|record| record.id)));
    }
    text
}

fn next_page(log: &str, page: &Page, ids: impl ExactSizeIterator<Item = i64>) -> String {
    if ids.len() < usize::try_from(page.limit).unwrap_or(usize::MAX) {
        return String::new();
    }
    ids.last().map(|last| format!("more: add `{log} --after {last}`\n")).unwrap_or_default()
}

pub(super) fn published_table(records: &[ProductionRecord]) -> String {
    let mut table = Table::new(&["row", "created (utc)", "event type", "topic", "key", "status", "event id", "error"]);
    for record in records {
        table.row([
            format!("#{}", record.id),
            instant(record.created_at),
            record.event_type.clone(),
            record.topic.clone(),
            key(record.event_key.as_deref()),
            record.status.to_string(),
            record.event_id.clone(),
            error(record.error_message.as_deref()),
        ]);
    }
    table.render()
}

pub(super) fn consumed_table(records: &[ConsumptionRecord]) -> String {
    let mut table =
        Table::new(&["row", "received (utc)", "event type", "listener", "key", "status", "event id", "error"]);
    for record in records {
        table.row([
            format!("#{}", record.id),
            instant(record.received_at),
            record.event_type.clone(),
            record.handler_name.clone(),
            key(record.event_key.as_deref()),
            record.status.to_string(),
            record.event_id.clone(),
            error(record.error_message.as_deref()),
        ]);
    }
    table.render()
}

fn key(bytes: Option<&[u8]>) -> String {
    const CHARS: usize = 24;
    bytes.map(|bytes| shortened(&bytes_as_text(bytes), CHARS)).unwrap_or_default()
}

fn error(message: Option<&str>) -> String {
    const CHARS: usize = 60;
    shortened(message.unwrap_or_default(), CHARS)
}

async fn show(id: &Id, log: Log, service: &Service, store: &dyn Store) -> Result<Exit, BoxError> {
    let found = find(id, log, store).await?;
    if found.is_empty() {
        return Err(not_found(id).into());
    }
    let redaction = service.redaction();
    service.output().print(&found.views(&redaction, Detail::Whole), |views| {
        let payloads = found.published.iter().map(|record| (&record.payload, &record.event_type));
        let payloads = payloads.chain(found.consumed.iter().map(|record| (&record.payload, &record.event_type)));
        let shown = payloads.map(|(payload, event_type)| Shown::of(payload.as_deref(), redaction.fields(event_type)));
        let whole: Vec<_> = views.iter().zip(shown).map(|(view, payload)| whole(view, &payload)).collect();
        whole.join("\n")
    })?;
    Ok(Exit::Done)
}

/// The rows of an event, or the one row.
async fn find(id: &Id, log: Log, store: &dyn Store) -> Result<Found, BoxError> {
    let by_event = |event_id: String| RecordQuery { event_id: Some(event_id), limit: 1_000, ..RecordQuery::default() };
    let by_row = |row| RecordQuery { id: Some(row), limit: 1, ..RecordQuery::default() };
    let rows = |query: RecordQuery, log: Log| async move {
        let mut found = Found::default();
        if log.wants_published() {
            found.published = store.produced(&query).await?;
        }
        if log.wants_consumed() {
            found.consumed = store.consumed(&query).await?;
        }
        Ok::<_, BoxError>(found)
    };
    // Without a flag, a row's id is of the consumption log.
    let log_of_row = if log.published { log } else { Log { published: false, consumed: true } };
    match id {
        Id::Event(event_id) => rows(by_event(event_id.clone()), log).await,
        Id::Row(row) => rows(by_row(*row), log_of_row).await,
        Id::Either(number) => {
            let found = rows(by_event(number.to_string()), log).await?;
            if found.is_empty() { rows(by_row(*number), log_of_row).await } else { Ok(found) }
        }
    }
}

/// A record as a list of its fields, then its payload.
fn whole(view: &Value, payload: &Shown) -> String {
    let mut text = String::new();
    for (name, value) in view.as_object().into_iter().flatten() {
        let value = match value {
            Value::Null => continue,
            Value::String(text) if text.is_empty() => continue,
            Value::String(text) => text.replace('\n', "\n                    "),
            other => other.to_string(),
        };
        if name != "payload" {
            text.push_str(&format!("{name:<19} {value}\n"));
        }
    }
    text.push_str(&format!("payload\n{payload}\n"));
    text
}
