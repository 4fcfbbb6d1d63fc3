//! The databases, one folder each.

pub mod schema;
