//! Statements of fixed text, prepared once for each connection.
//!
//! Nearly everything that the store asks of SQLite is one of these: SQL as SQLite wants it, with its literals where
//! partial indexes need them, and placeholders by number. Diesel keeps the prepared statement, binds and decodes.

use std::marker::PhantomData;

use diesel::{
    QueryResult, RunQueryDsl,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    serialize::ToSql,
    sql_types::HasSqlType,
    sqlite::{Sqlite, SqliteConnection},
};

/// The text of a statement, and the SQL types of the rows it returns.
pub(super) trait Text: 'static {
    const SQL: &'static str;
    type Row: 'static;
}

/// A statement and the values of its placeholders.
pub(super) struct Fixed<S, B> {
    binds: B,
    text: PhantomData<S>,
}

impl<S, B> Fixed<S, B> {
    pub(super) fn new(_: S, binds: B) -> Self {
        Self { binds, text: PhantomData }
    }
}

impl<S: Text, B: Binds> QueryFragment<Sqlite> for Fixed<S, B> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        // Placeholders are in the text already; those that Diesel writes for each value land in a comment behind it.
        out.push_sql(S::SQL);
        out.push_sql(" -- ");
        self.binds.push(out)
    }
}

impl<S: Text, B> QueryId for Fixed<S, B> {
    type QueryId = Fixed<S, ()>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S: Text, B> Query for Fixed<S, B> {
    type SqlType = S::Row;
}

impl<S: Text, B: Binds> RunQueryDsl<SqliteConnection> for Fixed<S, B> {}

/// Values for placeholders, in the order of their numbers.
pub(super) trait Binds {
    fn push<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()>;
}

impl Binds for () {
    fn push<'b>(&'b self, _: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        Ok(())
    }
}

/// A value, the SQL type it is bound as, and the values behind it.
pub(super) struct Bind<ST, T, Rest> {
    value: T,
    rest: Rest,
    sql_type: PhantomData<ST>,
}

impl<ST, T, Rest> Bind<ST, T, Rest> {
    pub(super) fn new(value: T, rest: Rest) -> Self {
        Self { value, rest, sql_type: PhantomData }
    }
}

impl<ST, T, Rest> Binds for Bind<ST, T, Rest>
where
    Sqlite: HasSqlType<ST>,
    T: ToSql<ST, Sqlite>,
    Rest: Binds,
{
    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_bind_param(&self.value)?;
        self.rest.push(out)
    }
}

/// Nests values: `Bind(a, Bind(b, ()))`.
macro_rules! binds {
    () => { () };
    ($sql_type:ty = $value:expr $(, $($rest:tt)*)?) => {
        $crate::stores::sqlite::fixed::Bind::<$sql_type, _, _>::new($value, binds!($($($rest)*)?))
    };
}

/// Names a text, for this place only, and attaches values to it.
macro_rules! fixed {
    ($sql:expr, $row:ty, $($binds:tt)*) => {
        $crate::stores::sqlite::fixed::Fixed::new(
            {
                struct Here;
                impl $crate::stores::sqlite::fixed::Text for Here {
                    const SQL: &'static str = $sql;
                    type Row = $row;
                }
                Here
            },
            binds!($($binds)*),
        )
    };
}

/// `execute!(connection, "UPDATE … ?1 … ?2", Text = a, BigInt = b)`: runs a statement; how many rows it changed.
macro_rules! execute {
    ($connection:expr, $sql:expr $(, $($binds:tt)*)?) => {
        diesel::RunQueryDsl::execute(fixed!($sql, (), $($($binds)*)?), $connection)
    };
}

/// `load!(connection, "SELECT … ?1" => (BigInt, Text), Text = a)`: the rows, as tuples.
macro_rules! load {
    ($connection:expr, $sql:expr => $row:ty $(, $($binds:tt)*)?) => {
        diesel::RunQueryDsl::get_results(fixed!($sql, $row, $($($binds)*)?), $connection)
    };
}

/// The same, for at most one row: `QueryResult<Option<_>>`.
macro_rules! first {
    ($connection:expr, $sql:expr => $row:ty $(, $($binds:tt)*)?) => {
        diesel::OptionalExtension::optional(diesel::RunQueryDsl::get_result(
            fixed!($sql, $row, $($($binds)*)?),
            $connection,
        ))
    };
}
