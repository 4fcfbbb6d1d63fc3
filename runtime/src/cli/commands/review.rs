//! What acting on records for review has in common: who and why, a dry run first, and saying what changed.

use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        exit::{Exit, UsageError},
        output::counted,
        record::{Filter, Id},
        service::Service,
    },
    error::BoxError,
    store::{LogId, OperatorAct, OperatorAction, RecordQuery, Store},
};

/// Rows that are acted on in one transaction.
const BATCH: usize = 500;

/// Which records to act on.
#[derive(Args, Clone, Debug)]
pub(super) struct Chosen {
    /// Ids of events, or `#` and ids of rows of the log
    pub(super) ids: Vec<Id>,
    #[command(flatten)]
    pub(super) filter: Filter,
    /// Only those whose error contains this text
    #[arg(long, value_name = "TEXT", help_heading = "Filters")]
    pub(super) error: Option<String>,
    /// All of them, when there is no id and no other filter
    #[arg(long, help_heading = "Filters")]
    pub(super) all: bool,
}

impl Chosen {
    /// Refuses to act on everything by oversight.
    pub(super) fn check(&self) -> Result<(), UsageError> {
        if self.ids.is_empty() && self.filter.is_empty() && self.error.is_none() && !self.all {
            return Err(UsageError("say which: ids, filters, or `--all`".to_owned()));
        }
        Ok(())
    }

    /// The queries that find them: `filter` as a query, once for each id.
    pub(super) fn queries(&self, filter: RecordQuery) -> Vec<RecordQuery> {
        if self.ids.is_empty() {
            return vec![filter];
        }
        let by_event = |event_id: String| RecordQuery { event_id: Some(event_id), ..filter.clone() };
        let by_row = |row| RecordQuery { id: Some(row), ..filter.clone() };
        let of = |id: &Id| match id {
            Id::Event(event_id) => vec![by_event(event_id.clone())],
            Id::Row(row) => vec![by_row(*row)],
            Id::Either(number) => vec![by_row(*number), by_event(number.to_string())],
        };
        self.ids.iter().flat_map(of).collect()
    }

    /// Whether a record with this error is meant, as far as `--error` says.
    pub(super) fn means(&self, error: Option<&str>) -> bool {
        self.error.as_deref().is_none_or(|text| error.is_some_and(|error| error.contains(text)))
    }
}

/// Who acts, why, and whether it is done or only shown.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Act")]
pub(super) struct Act {
    /// Do it; without this flag, only show what would be done
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) who: Who,
}

/// Who acts, and why, for the record.
#[derive(Args, Clone, Debug)]
pub(super) struct Who {
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Who you are, for the record [default: `TRACKED_OPERATOR`, else the user's name]
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
}

impl Who {
    /// Who acts.
    pub(super) fn operator(&self) -> Result<String, UsageError> {
        let variables = ["TRACKED_OPERATOR", "USER", "LOGNAME"];
        let from_environment = || variables.iter().find_map(|name| std::env::var(name).ok());
        let name = self.operator.clone().or_else(from_environment).filter(|name| !name.trim().is_empty());
        name.ok_or_else(|| UsageError("say who you are, for the record: `--operator NAME`".to_owned()))
    }
}

/// Which log an act is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    /// The consumption log.
    Consumed,
    /// The production log.
    Published,
}

/// Does `action` to these rows, or shows what would be done. `table` shows the rows.
pub(super) async fn act(
    log: Log,
    action: OperatorAction,
    ids: Vec<LogId>,
    args: &Act,
    service: &Service,
    store: &dyn Store,
    table: impl FnOnce() -> String,
) -> Result<Exit, BoxError> {
    let done = match args.yes {
        true => change(log, action, &ids, args, store).await?,
        false => Vec::new(),
    };
    let document = json!({ "action": action.as_str(), "dry_run": !args.yes, "matched": ids, "changed": done });
    let events = counted(ids.len(), "event");
    service.output().print(&document, |_| match (ids.len(), args.yes) {
        (0, _) => "nothing matches, nothing was changed".to_owned(),
        (_, false) => {
            format!(
                "{}\nnothing was changed; add `--yes` to {} {}",
                table(),
                action.as_str(),
                this_or_these(&events, ids.len())
            )
        }
        (all, true) if done.len() == all => format!("{}: {events}", past_tense(action)),
        (_, true) => {
            format!("{}: {} of {events}; the others had changed in the meantime", past_tense(action), done.len())
        }
    })?;
    Ok(match (ids.len(), done.len()) {
        (0, _) => Exit::NothingFound,
        (all, changed) if args.yes && changed < all => Exit::Failed,
        _ => Exit::Done,
    })
}

async fn change(
    log: Log,
    action: OperatorAction,
    ids: &[LogId],
    args: &Act,
    store: &dyn Store,
) -> Result<Vec<LogId>, BoxError> {
    let operator = args.who.operator()?;
    let mut changed = Vec::new();
    for ids in ids.chunks(BATCH) {
        let now = store.now().await?;
        let act =
            OperatorAct { ids: ids.to_vec(), action, operator: operator.clone(), reason: args.who.reason.clone(), now };
        changed.extend(match log {
            Log::Consumed => store.act(act).await?,
            Log::Published => store.act_on_outbox(act).await?,
        });
    }
    Ok(changed)
}

fn past_tense(action: OperatorAction) -> &'static str {
    match action {
        OperatorAction::Retry => "sent again",
        OperatorAction::Discard => "discarded",
    }
}

fn this_or_these(events: &str, number: usize) -> String {
    if number == 1 { format!("this {}", events.trim_start_matches("1 ")) } else { format!("these {events}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(ids: &[&str], error: Option<&str>) -> Chosen {
        Chosen {
            ids: ids.iter().map(|id| id.parse().unwrap()).collect(),
            filter: Filter::default(),
            error: error.map(str::to_owned),
            all: false,
        }
    }

    #[test]
    fn nothing_is_chosen_by_oversight() {
        assert!(chosen(&[], None).check().is_err());
        assert!(chosen(&["#1"], None).check().is_ok());
        assert!(Chosen { all: true, ..chosen(&[], None) }.check().is_ok());
    }

    #[test]
    fn a_number_is_looked_for_as_a_row_and_as_an_event() {
        let filter = RecordQuery { listener: Some("a".into()), ..RecordQuery::default() };
        let queries = chosen(&["#7", "8", "e1"], None).queries(filter);
        let found: Vec<_> = queries.iter().map(|query| (query.id, query.event_id.as_deref())).collect();
        assert_eq!(found, [(Some(7), None), (Some(8), None), (None, Some("8")), (None, Some("e1"))]);
        assert!(queries.iter().all(|query| query.listener.as_deref() == Some("a")));
    }

    #[test]
    fn only_records_with_the_error_are_meant() {
        let some = chosen(&[], Some("mail"));
        assert!(some.means(Some("mail server is away")));
        assert!(!some.means(Some("out of rooms")) && !some.means(None));
    }
}
