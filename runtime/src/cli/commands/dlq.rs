//! `dlq`: events that wait for an operator, because they failed for good or are invalid.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    events::consumed_table,
    review::{self, Act, Chosen, Log},
};
use crate::{
    cli::{
        exit::Exit,
        explain::{Explanation, Length, Life, shortened},
        output::{Table, counted, instant},
        record::{Detail, Filter, Id, Page, Shown, consumption_view},
        service::Service,
    },
    clock::Timestamp,
    error::BoxError,
    store::{ConsumptionRecord, LogId, OperatorAction, RecordQuery, Store},
};

/// Rows that are read at a time when all that match are wanted.
const PAGE: u32 = 500;

/// Reviews dead letters and invalid events.
#[derive(Args, Clone, Debug)]
pub(crate) struct DlqArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List what waits for review, oldest first
    #[command(
        after_help = "Examples:\n  SERVICE dlq list --listener send_confirmation\n  SERVICE dlq list --by-failure      # which failures, and how often"
    )]
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        page: Page,
        /// Count by listener and error
        #[arg(long)]
        by_failure: bool,
    },
    /// Show one: its life, its payload, its last error
    #[command(after_help = "Example:\n  SERVICE dlq show '#123'")]
    Show {
        /// The event's id, or `#` and the id of a row of the log
        id: Id,
    },
    /// Run them again, with fresh retries; shows what would be done until `--yes` is given
    #[command(
        after_help = "Examples:\n  SERVICE dlq retry '#123' --yes\n  SERVICE dlq retry --listener send_confirmation --error 'connection refused' --reason 'mail is back' --yes"
    )]
    Retry {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        act: Act,
    },
    /// Give them up, for good; shows what would be done until `--yes` is given
    #[command(after_help = "Example:\n  SERVICE dlq discard '#123' --reason 'sent by hand' --yes")]
    Discard {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        act: Act,
    },
}

pub(crate) async fn run(args: DlqArgs, service: &Service) -> Result<Exit, BoxError> {
    let store = service.store().await?;
    match args.action {
        Action::List { filter, by_failure: true, .. } => {
            let all = everything(filter.of_consumed()?, &*store).await?;
            print_failures(&failures(&all), service)
        }
        Action::List { filter, page, .. } => list(&filter, &page, service, &*store).await,
        Action::Show { id } => show(&id, service, &*store).await,
        Action::Retry { chosen, act } => act_on(OperatorAction::Retry, &chosen, &act, service, &*store).await,
        Action::Discard { chosen, act } => act_on(OperatorAction::Discard, &chosen, &act, service, &*store).await,
    }
}

async fn list(filter: &Filter, page: &Page, service: &Service, store: &dyn Store) -> Result<Exit, BoxError> {
    let found = store.for_review(&page.of(filter.of_consumed()?)).await?;
    let redaction = service.redaction();
    let views: Vec<_> = found.iter().map(|record| consumption_view(record, &redaction, Detail::Line)).collect();
    service.output().print(&views, |_| match found.last() {
        None => "nothing waits for review".to_owned(),
        Some(last) if u32::try_from(found.len()).is_ok_and(|rows| rows == page.limit) => {
            format!("{}more: add `--after {}`", consumed_table(&found), last.id)
        }
        Some(_) => consumed_table(&found),
    })?;
    Ok(if found.is_empty() { Exit::NothingFound } else { Exit::Done })
}

/// Everything for review that matches.
async fn everything(query: RecordQuery, store: &dyn Store) -> Result<Vec<ConsumptionRecord>, BoxError> {
    let mut all = Vec::new();
    let mut after_id = query.after_id;
    loop {
        let page = store.for_review(&RecordQuery { limit: PAGE, after_id, ..query.clone() }).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after_id = Some(last.id);
        // Payloads of all of them need not be in memory at once.
        all.extend(page.into_iter().map(|record| ConsumptionRecord { payload: None, ..record }));
    }
}

/// Failures of one listener with one error.
#[derive(Debug, PartialEq, Serialize)]
struct Failure {
    events: usize,
    listener: String,
    event_type: String,
    error: String,
    first_received_at: Timestamp,
    example: LogId,
}

fn failures(records: &[ConsumptionRecord]) -> Vec<Failure> {
    let mut groups: BTreeMap<_, Failure> = BTreeMap::new();
    for record in records {
        let error = record.error_message.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
        let group = groups.entry((&record.handler_name, &record.event_type, error)).or_insert_with(|| Failure {
            events: 0,
            listener: record.handler_name.clone(),
            event_type: record.event_type.clone(),
            error: error.to_owned(),
            first_received_at: record.received_at,
            example: record.id,
        });
        group.events += 1;
        group.first_received_at = group.first_received_at.min(record.received_at);
    }
    let mut failures: Vec<_> = groups.into_values().collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.events));
    failures
}

fn print_failures(failures: &[Failure], service: &Service) -> Result<Exit, BoxError> {
    const ERROR_CHARS: usize = 100;
    service.output().print(failures, |failures| {
        let mut table = Table::new(&["events", "listener", "event type", "since (utc)", "example", "error"]);
        for failure in failures {
            table.row([
                failure.events.to_string(),
                failure.listener.clone(),
                failure.event_type.clone(),
                instant(failure.first_received_at),
                format!("#{}", failure.example),
                shortened(&failure.error, ERROR_CHARS),
            ]);
        }
        if failures.is_empty() { "nothing waits for review".to_owned() } else { table.render() }
    })?;
    Ok(if failures.is_empty() { Exit::NothingFound } else { Exit::Done })
}

async fn show(id: &Id, service: &Service, store: &dyn Store) -> Result<Exit, BoxError> {
    let life = Life::of(store, id).await?;
    let redaction = service.redaction();
    let last = life.consumed.iter().rev().find(|record| record.error_message.is_some());
    let mut error = String::new();
    if let Some(record) = last {
        error = format!("\nerror\n{}\n", record.error_message.as_deref().unwrap_or_default());
        if let Some(trace) = &record.error_stack_trace {
            error.push_str(&format!("\nwhere\n{trace}\n"));
        }
    }
    let payload = life.consumed.first().map(|record| {
        let shown = Shown::of(record.payload.as_deref(), redaction.fields(&record.event_type));
        format!("\npayload\n{shown}\n")
    });
    let explanation = Explanation::of(life);
    service.output().print(&explanation.to_json(&redaction), |_| {
        explanation.to_text(&redaction, Length::Screen) + &error + &payload.unwrap_or_default()
    })?;
    Ok(Exit::Done)
}

async fn act_on(
    action: OperatorAction,
    chosen: &Chosen,
    args: &Act,
    service: &Service,
    store: &dyn Store,
) -> Result<Exit, BoxError> {
    /// Rows of a dry run that are shown.
    const SHOWN: usize = 20;
    chosen.check()?;
    let mut records = Vec::new();
    for query in chosen.queries(chosen.filter.of_consumed()?) {
        records.extend(everything(query, store).await?);
    }
    records.retain(|record| chosen.means(record.error_message.as_deref()));
    records.sort_by_key(|record| record.id);
    records.dedup_by_key(|record| record.id);
    let ids = records.iter().map(|record| record.id).collect();
    let table = || {
        let mut text = consumed_table(&records[..records.len().min(SHOWN)]);
        if records.len() > SHOWN {
            text.push_str(&format!("… and {} more\n", counted(records.len() - SHOWN, "event")));
        }
        text
    };
    review::act(Log::Consumed, action, ids, args, service, store, table).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ConsumptionStatus;

    fn record(id: LogId, listener: &str, error: &str) -> ConsumptionRecord {
        ConsumptionRecord {
            id,
            event_id: format!("e{id}"),
            service_name: "s".into(),
            topic: "t".into(),
            partition_number: None,
            offset: None,
            consumer_group: "g".into(),
            handler_name: listener.into(),
            event_type: "E".into(),
            event_key: None,
            payload: None,
            status: ConsumptionStatus::FailedMaxRetry,
            retry_count: 3,
            max_retries: 3,
            processing_time_ms: None,
            error_message: Some(error.into()),
            error_stack_trace: None,
            correlation_id: None,
            causation_id: None,
            headers: None,
            metadata: None,
            replay_id: String::new(),
            redrive_count: 0,
            received_at: Timestamp::from_micros(id),
            processed_at: None,
            updated_at: None,
        }
    }

    #[test]
    fn failures_are_counted_by_listener_and_first_line_of_the_error() {
        let records = [record(1, "a", "down"), record(2, "a", "gone\nat x"), record(3, "a", "gone\nat y")];
        let found: Vec<_> =
            failures(&records).iter().map(|group| (group.events, group.error.clone(), group.example)).collect();
        assert_eq!(found, [(2, "gone".to_owned(), 2), (1, "down".to_owned(), 1)]);
    }
}
