//! The procedural macros of `tracked-events`.
