//! Hand-written SQL that the server prepares once for each connection.
//!
//! Diesel prepares the statements of `sql_query` anew at each call, which costs a round trip and the server's parser.
//! These are static text, so they are kept. Rows come back by position, as the type says.

use std::marker::PhantomData;

use diesel::{
    QueryResult,
    deserialize::FromSqlRow,
    expression::QueryMetadata,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    query_dsl::CompatibleType,
    serialize::ToSql,
    sql_types::{BigInt, HasSqlType},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::store::LogId;

/// Static SQL and the values for its `$1`, `$2`, …; `Row` is the SQL type of what it returns.
pub(super) struct Statement<'a, Row = ()> {
    sql: &'static str,
    values: Vec<Box<dyn QueryFragment<Pg> + Send + 'a>>,
    is_kept: bool,
    row: PhantomData<fn() -> Row>,
}

impl<'a, Row: 'static> Statement<'a, Row> {
    pub(super) fn new(sql: &'static str) -> Self {
        Self { sql, values: Vec::new(), is_kept: true, row: PhantomData }
    }

    /// Not kept, but planned for the values at hand each time: for what people ask, where each question has its index.
    pub(super) fn planned_anew(self) -> Self {
        Self { is_kept: false, ..self }
    }

    /// The next value.
    pub(super) fn bind<ST, V>(mut self, value: V) -> Self
    where
        ST: 'a,
        V: ToSql<ST, Pg> + Send + 'a,
        Pg: HasSqlType<ST>,
    {
        self.values.push(Box::new(Value { value, sql_type: PhantomData::<fn() -> ST> }));
        self
    }

    /// The next two values: the first and the last of the ids.
    ///
    /// `id BETWEEN` them says nothing that the ids do not, except to the planner. On a log that was never analysed it
    /// takes an id for common, since the log's key goes on after it, and would read the whole log for a batch.
    pub(super) fn bounds(self, ids: &[LogId]) -> Self {
        let first = ids.iter().copied().min().unwrap_or(LogId::MAX);
        let last = ids.iter().copied().max().unwrap_or(LogId::MIN);
        self.bind::<BigInt, _>(first).bind::<BigInt, _>(last)
    }

    /// Runs it, and returns how many rows it changed. It is sent when the future is first polled: futures polled
    /// together run in their order without waiting for each other's answer.
    pub(super) async fn run(self, mut connection: &AsyncPgConnection) -> QueryResult<usize> {
        self.execute(&mut connection).await
    }

    /// Runs it, and returns its rows. Sent as [`run`](Self::run) is.
    pub(super) async fn rows<U>(self, mut connection: &AsyncPgConnection) -> QueryResult<Vec<U>>
    where
        Row: CompatibleType<U, Pg>,
        U: FromSqlRow<<Row as CompatibleType<U, Pg>>::SqlType, Pg> + Send + 'static,
        <Row as CompatibleType<U, Pg>>::SqlType: 'static,
        Pg: QueryMetadata<Row>,
    {
        self.load(&mut connection).await
    }

    /// Runs it, and returns its only row.
    pub(super) async fn row<U>(self, mut connection: &AsyncPgConnection) -> QueryResult<U>
    where
        Row: CompatibleType<U, Pg>,
        U: FromSqlRow<<Row as CompatibleType<U, Pg>>::SqlType, Pg> + Send + 'static,
        <Row as CompatibleType<U, Pg>>::SqlType: 'static,
        Pg: QueryMetadata<Row>,
    {
        self.get_result(&mut connection).await
    }
}

impl<Row> QueryFragment<Pg> for Statement<'_, Row> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.is_kept {
            out.unsafe_to_cache_prepared();
        }
        out.push_sql(self.sql);
        self.values.iter().try_for_each(|value| value.walk_ast(out.reborrow()))
    }
}

impl<Row> QueryId for Statement<'_, Row> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row: 'static> Query for Statement<'_, Row> {
    type SqlType = Row;
}

/// On a caller's synchronous connection.
impl<Connection, Row> diesel::RunQueryDsl<Connection> for Statement<'_, Row> {}

struct Value<ST, V> {
    value: V,
    sql_type: PhantomData<fn() -> ST>,
}

impl<ST, V> QueryFragment<Pg> for Value<ST, V>
where
    Pg: HasSqlType<ST>,
    V: ToSql<ST, Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param_value_only(&self.value)
    }
}
