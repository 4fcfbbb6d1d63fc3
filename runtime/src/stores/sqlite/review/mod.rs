//! Searching the record and acting on it, on SQLite.

mod act;
mod backlog;
mod records;

use async_trait::async_trait;
use diesel::sql_types::{Nullable, Text};

use super::SqliteStore;
use crate::{
    error::Result,
    store::{
        ActionRecord, AttemptRecord, Backlog, ConsumptionRecord, ListenerPause, LogId, OpenWork, OperatorAct,
        ProductionRecord, RecordQuery, ReviewStore,
    },
    stores::schema::UtcTimestamp,
};

#[async_trait]
impl ReviewStore for SqliteStore {
    async fn consumed(&self, query: &RecordQuery) -> Result<Vec<ConsumptionRecord>> {
        let query = query.clone();
        self.read(move |connection| records::consumed(connection, &query)).await
    }

    async fn produced(&self, query: &RecordQuery) -> Result<Vec<ProductionRecord>> {
        let query = query.clone();
        self.read(move |connection| records::produced(connection, &query)).await
    }

    async fn attempts(&self, consumption_ids: &[LogId]) -> Result<Vec<AttemptRecord>> {
        let ids = consumption_ids.to_vec();
        self.read(move |connection| records::attempts(connection, &ids)).await
    }

    async fn actions(&self, event_id: &str) -> Result<Vec<ActionRecord>> {
        let event_id = event_id.to_owned();
        self.read(move |connection| records::actions(connection, &event_id)).await
    }

    async fn open_work(&self, consumption_ids: &[LogId]) -> Result<Vec<OpenWork>> {
        let ids = consumption_ids.to_vec();
        self.read(move |connection| records::open_work(connection, &ids)).await
    }

    async fn for_review(&self, query: &RecordQuery) -> Result<Vec<ConsumptionRecord>> {
        let query = query.clone();
        self.read(move |connection| records::for_review(connection, &query)).await
    }

    async fn act(&self, act: OperatorAct) -> Result<Vec<LogId>> {
        self.write(move |connection| Ok(act::on_consumed(connection, &act)?)).await
    }

    async fn act_on_outbox(&self, act: OperatorAct) -> Result<Vec<LogId>> {
        self.write(move |connection| Ok(act::on_produced(connection, &act)?)).await
    }

    async fn backlog(&self) -> Result<Backlog> {
        self.read(|connection| Ok(backlog::backlog(connection)?)).await
    }

    async fn pause_listener(&self, pause: ListenerPause) -> Result<()> {
        self.write(move |connection| {
            execute!(
                connection,
                "INSERT INTO listener_pause (consumer_group, handler_name, operator, reason, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                Text = pause.group,
                Text = pause.listener,
                Text = pause.operator,
                Nullable<Text> = pause.reason,
                UtcTimestamp = pause.now
            )?;
            Ok(())
        })
        .await
    }

    async fn resume_listener(&self, group: &str, listener: &str) -> Result<bool> {
        let (group, listener) = (group.to_owned(), listener.to_owned());
        self.write(move |connection| {
            Ok(execute!(
                connection,
                "DELETE FROM listener_pause WHERE consumer_group = ?1 AND handler_name = ?2",
                Text = group,
                Text = listener
            )? == 1)
        })
        .await
    }
}
