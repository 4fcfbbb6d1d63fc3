//! `outbox`: what is staged and not with the broker.

use clap::{Args, Subcommand};

use super::{
    events::published_table,
    review::{self, Act, Chosen, Log},
};
use crate::{
    cli::{
        exit::{Exit, UsageError},
        output::counted,
        record::{Detail, Filter, Page, production_view},
        service::Service,
    },
    error::BoxError,
    store::{OperatorAction, ProductionRecord, ProductionStatus, RecordQuery, Store},
};

/// Rows that are read at a time when all that match are wanted.
const PAGE: u32 = 500;
/// The statuses of rows that are not with the broker.
const OPEN: [ProductionStatus; 4] = [
    ProductionStatus::FailedMaxRetry,
    ProductionStatus::Failed,
    ProductionStatus::Publishing,
    ProductionStatus::Pending,
];

/// Reviews what could not be published.
#[derive(Args, Clone, Debug)]
pub(crate) struct OutboxArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List what is not with the broker: given up first, then failed, then what is on its way
    #[command(after_help = "Example:\n  SERVICE outbox list --status FAILED_MAX_RETRY")]
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        page: Page,
    },
    /// Publish again what was given up; shows what would be done until `--yes` is given
    #[command(
        after_help = "Example:\n  SERVICE outbox retry --topic booking-confirmed --reason 'the broker is back' --yes"
    )]
    Retry {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        act: Act,
    },
    /// Never publish what was given up; shows what would be done until `--yes` is given
    #[command(after_help = "Example:\n  SERVICE outbox discard '#123' --reason 'no longer true' --yes")]
    Discard {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        act: Act,
    },
}

pub(crate) async fn run(args: OutboxArgs, service: &Service) -> Result<Exit, BoxError> {
    let store = service.store().await?;
    match args.action {
        Action::List { filter, page } => list(&filter, &page, service, &*store).await,
        Action::Retry { chosen, act } => act_on(OperatorAction::Retry, &chosen, &act, service, &*store).await,
        Action::Discard { chosen, act } => act_on(OperatorAction::Discard, &chosen, &act, service, &*store).await,
    }
}

async fn list(filter: &Filter, page: &Page, service: &Service, store: &dyn Store) -> Result<Exit, BoxError> {
    let query = filter.of_published()?;
    let statuses = match &query.status {
        Some(status) => vec![status.clone()],
        None => OPEN.iter().map(ToString::to_string).collect(),
    };
    let mut found: Vec<ProductionRecord> = Vec::new();
    for status in statuses {
        let room = page.limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if room > 0 {
            let query = RecordQuery { status: Some(status), limit: room, ..page.of(query.clone()) };
            found.extend(store.produced(&query).await?);
        }
    }
    let redaction = service.redaction();
    let views: Vec<_> = found.iter().map(|record| production_view(record, &redaction, Detail::Line)).collect();
    service.output().print(&views, |_| match found.is_empty() {
        true => "everything is published".to_owned(),
        false => published_table(&found),
    })?;
    Ok(if found.is_empty() { Exit::NothingFound } else { Exit::Done })
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
    for query in chosen.queries(chosen.filter.of_published()?) {
        records.extend(given_up(query, store).await?);
    }
    records.retain(|record| chosen.means(record.error_message.as_deref()));
    records.sort_by_key(|record| record.id);
    records.dedup_by_key(|record| record.id);
    let ids = records.iter().map(|record| record.id).collect();
    let table = || {
        let mut text = published_table(&records[..records.len().min(SHOWN)]);
        if records.len() > SHOWN {
            text.push_str(&format!("… and {} more\n", counted(records.len() - SHOWN, "event")));
        }
        text
    };
    review::act(Log::Published, action, ids, args, service, store, table).await
}

/// Everything that was given up and matches.
async fn given_up(query: RecordQuery, store: &dyn Store) -> Result<Vec<ProductionRecord>, BoxError> {
    let given_up = ProductionStatus::FailedMaxRetry.to_string();
    if query.status.as_ref().is_some_and(|status| *status != given_up) {
        return Err(UsageError(format!("only rows in `{given_up}` can be acted on; leave out `--status`")).into());
    }
    let mut all = Vec::new();
    let mut after_id = None;
    loop {
        let query = RecordQuery { status: Some(given_up.clone()), limit: PAGE, after_id, ..query.clone() };
        let page = store.produced(&query).await?;
        let Some(last) = page.last() else { break };
        after_id = Some(last.id);
        all.extend(page.into_iter().map(|record| ProductionRecord { payload: None, ..record }));
    }
    Ok(all)
}
