//! What operators and commands ask of PostgreSQL.

mod act;
mod backlog;
mod record;

use async_trait::async_trait;
use diesel::sql_types::Text;

use super::{PostgresStore, pool::checkout, statement::Statement};
use crate::{
    error::Result,
    store::{
        ActionRecord, AttemptRecord, Backlog, ConsumptionRecord, ListenerPause, LogId, OpenWork, OperatorAct,
        ProductionRecord, RecordQuery, ReviewStore,
    },
    stores::schema::UtcTimestamp,
};

#[async_trait]
impl ReviewStore for PostgresStore {
    async fn consumed(&self, query: &RecordQuery) -> Result<Vec<ConsumptionRecord>> {
        record::consumed(self, query).await
    }

    async fn produced(&self, query: &RecordQuery) -> Result<Vec<ProductionRecord>> {
        record::produced(self, query).await
    }

    async fn attempts(&self, consumption_ids: &[LogId]) -> Result<Vec<AttemptRecord>> {
        record::attempts(self, consumption_ids).await
    }

    async fn actions(&self, event_id: &str) -> Result<Vec<ActionRecord>> {
        record::actions(self, event_id).await
    }

    async fn open_work(&self, consumption_ids: &[LogId]) -> Result<Vec<OpenWork>> {
        record::open_work(self, consumption_ids).await
    }

    async fn for_review(&self, query: &RecordQuery) -> Result<Vec<ConsumptionRecord>> {
        record::for_review(self, query).await
    }

    async fn act(&self, act: OperatorAct) -> Result<Vec<LogId>> {
        act::on_inbox(self, &act).await
    }

    async fn act_on_outbox(&self, act: OperatorAct) -> Result<Vec<LogId>> {
        act::on_outbox(self, &act).await
    }

    async fn backlog(&self) -> Result<Backlog> {
        backlog::backlog(self).await
    }

    async fn pause_listener(&self, pause: ListenerPause) -> Result<()> {
        let sql = "\
            INSERT INTO listener_pause (consumer_group, handler_name, operator, reason, created_at)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT DO NOTHING";
        let connection = checkout(&self.pool).await?;
        Statement::<()>::new(sql)
            .bind::<Text, _>(pause.group)
            .bind::<Text, _>(pause.listener)
            .bind::<Text, _>(pause.operator)
            .bind::<diesel::sql_types::Nullable<Text>, _>(pause.reason)
            .bind::<UtcTimestamp, _>(pause.now)
            .run(&connection)
            .await?;
        Ok(())
    }

    async fn resume_listener(&self, group: &str, listener: &str) -> Result<bool> {
        let sql = "DELETE FROM listener_pause WHERE consumer_group = $1 AND handler_name = $2";
        let connection = checkout(&self.pool).await?;
        let removed =
            Statement::<()>::new(sql).bind::<Text, _>(group).bind::<Text, _>(listener).run(&connection).await?;
        Ok(removed == 1)
    }
}
