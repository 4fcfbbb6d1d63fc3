//! The embedded migrations of `tracked-events`.
