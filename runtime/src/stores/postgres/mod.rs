//! PostgreSQL.

mod connect;

pub(crate) use connect::connect;
