//! Gathers what the record knows of one event.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    cli::record::Id,
    clock::Timestamp,
    error::{Error, ErrorKind, Result},
    store::{
        ActionRecord, AttemptRecord, ConsumptionRecord, InstanceBeat, LogId, OpenWork, ProductionRecord, RecordQuery,
        Store,
    },
};

/// More rows than one event has, unless something is very wrong.
const LIMIT: u32 = 1_000;

/// What the record knows of one event.
pub(crate) struct Life {
    pub(crate) event_id: String,
    pub(crate) published: Vec<ProductionRecord>,
    pub(crate) consumed: Vec<ConsumptionRecord>,
    pub(crate) attempts: BTreeMap<LogId, Vec<AttemptRecord>>,
    pub(crate) actions: Vec<ActionRecord>,
    pub(crate) open: BTreeMap<LogId, OpenWork>,
    /// What was staged for the dead-letter topics.
    pub(crate) dead_letters: Vec<ProductionRecord>,
    /// The (group, listener) that an operator paused.
    pub(crate) paused: BTreeSet<(String, String)>,
    pub(crate) instances: Vec<InstanceBeat>,
    pub(crate) now: Timestamp,
}

impl Life {
    /// Reads it all.
    ///
    /// # Errors
    /// When there is no such event, or the database cannot be read.
    pub(crate) async fn of(store: &dyn Store, id: &Id) -> Result<Self> {
        let event_id = event_id_of(store, id).await?;
        let query = RecordQuery { event_id: Some(event_id.clone()), limit: LIMIT, ..RecordQuery::default() };
        let mut published = store.produced(&query).await?;
        let mut consumed = store.consumed(&query).await?;
        if published.is_empty() && consumed.is_empty() {
            return Err(not_found(id));
        }
        published.sort_by_key(|record| record.id);
        consumed.sort_by_key(|record| record.id);
        let ids: Vec<_> = consumed.iter().map(|record| record.id).collect();
        let mut attempts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for attempt in store.attempts(&ids).await? {
            attempts.entry(attempt.consumption_id).or_default().push(attempt);
        }
        Ok(Self {
            attempts,
            open: store.open_work(&ids).await?.into_iter().map(|open| (open.consumption_id, open)).collect(),
            actions: store.actions(&event_id).await?,
            dead_letters: dead_letters(store, &consumed).await?,
            paused: paused(store, consumed.iter().map(|record| record.consumer_group.clone()).collect()).await?,
            instances: store.instances().await?,
            now: store.now().await?,
            event_id,
            published,
            consumed,
        })
    }

    /// The attempts at a row, oldest first.
    pub(crate) fn attempts_at(&self, row: LogId) -> &[AttemptRecord] {
        self.attempts.get(&row).map_or(&[], Vec::as_slice)
    }

    /// When the event was first heard of.
    pub(crate) fn began_at(&self) -> Timestamp {
        let staged = self.published.iter().map(|record| record.created_at);
        let received = self.consumed.iter().map(|record| record.received_at);
        staged.chain(received).min().unwrap_or(self.now)
    }
}

/// The listeners of these groups that an operator paused, as (group, listener).
pub(crate) async fn paused(store: &dyn Store, groups: BTreeSet<String>) -> Result<BTreeSet<(String, String)>> {
    let mut paused = BTreeSet::new();
    for group in groups {
        let listeners = store.paused_listeners(&group).await?;
        paused.extend(listeners.into_iter().map(|listener| (group.clone(), listener)));
    }
    Ok(paused)
}

async fn event_id_of(store: &dyn Store, id: &Id) -> Result<String> {
    let row = match id {
        Id::Event(event_id) => return Ok(event_id.clone()),
        Id::Either(number) => {
            let event_id = number.to_string();
            let query = RecordQuery { event_id: Some(event_id.clone()), limit: 1, ..RecordQuery::default() };
            if !store.produced(&query).await?.is_empty() || !store.consumed(&query).await?.is_empty() {
                return Ok(event_id);
            }
            *number
        }
        Id::Row(row) => *row,
    };
    let query = RecordQuery { id: Some(row), limit: 1, ..RecordQuery::default() };
    let consumed = store.consumed(&query).await?.into_iter().next().map(|record| record.event_id);
    consumed.ok_or_else(|| not_found(id))
}

/// That there is no such event.
pub(crate) fn not_found(id: &Id) -> Error {
    let problem = match id {
        Id::Event(id) => format!("no event `{id}` is on record; `events list` shows which are"),
        Id::Row(row) => format!("the consumption log has no row `#{row}`; `events list --consumed` shows which it has"),
        Id::Either(id) => {
            format!("neither an event `{id}` nor a row `#{id}` is on record; `events list` shows which are")
        }
    };
    Error::new(ErrorKind::NotFound, problem)
}

async fn dead_letters(store: &dyn Store, consumed: &[ConsumptionRecord]) -> Result<Vec<ProductionRecord>> {
    let mut found = Vec::new();
    for record in consumed.iter().filter(|record| record.replay_id.is_empty() && !record.handler_name.is_empty()) {
        for redrive in 0..=record.redrive_count {
            let event_id = format!("dl:{}:{}:{redrive}", record.handler_name, record.event_id);
            let query = RecordQuery { event_id: Some(event_id), limit: LIMIT, ..RecordQuery::default() };
            found.extend(store.produced(&query).await?);
        }
    }
    found.sort_by_key(|letter| letter.id);
    found.dedup_by_key(|letter| letter.id);
    Ok(found)
}
