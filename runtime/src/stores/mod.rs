//! The databases, one folder each.

#[allow(missing_docs, reason = "`docs/schema.md` says what each column holds")]
pub mod schema;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod stage;
