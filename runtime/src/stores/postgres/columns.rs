//! The columns of a batch, as arrays for `unnest`.

use diesel::{
    pg::Pg,
    serialize::ToSql,
    sql_types::{Array, HasSqlType, Nullable, SqlType, is_nullable},
};

use super::statement::Statement;

/// A column of a batch. One whose rows all hold the same value travels as that value and an empty array: `unnest`
/// fills up a short array with NULL, and the statement takes `coalesce(row.column, $value)`.
pub(super) struct Column<T> {
    same: Option<T>,
    values: Vec<Option<T>>,
}

impl<T: Clone + PartialEq> Column<T> {
    pub(super) fn of(mut values: impl Iterator<Item = Option<T>>) -> Self {
        let first = values.next().flatten();
        let mut alike = 1;
        // Most columns hold one value, and cost no memory.
        while let Some(value) = values.next() {
            if value != first {
                let mut all = vec![first; alike];
                all.push(value);
                all.extend(values);
                return Self { same: None, values: all };
            }
            alike += 1;
        }
        Self { same: first, values: Vec::new() }
    }
}

impl<'a, Row: 'static> Statement<'a, Row> {
    /// The next two values: the array, and the value of the rows that it does not have.
    pub(super) fn column<ST, T>(self, column: Column<T>) -> Self
    where
        ST: SqlType<IsNull = is_nullable::NotNull> + 'static,
        T: ToSql<ST, Pg> + std::fmt::Debug + Send + 'a,
        Pg: HasSqlType<ST>,
        Option<T>: ToSql<Nullable<ST>, Pg>,
    {
        self.bind::<Array<Nullable<ST>>, _>(column.values).bind::<Nullable<ST>, _>(column.same)
    }
}
