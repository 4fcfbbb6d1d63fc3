//! The databases, one folder each.

pub mod migrations;
#[cfg(feature = "postgres")]
mod postgres;
#[allow(missing_docs, reason = "`docs/schema.md` says what each column holds")]
pub mod schema;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod stage;
mod url;
