//! What an instance is told that another has replaced.

use crate::error::{Error, ErrorKind};

/// It is not entered any more, so it may claim nothing.
pub(super) fn fenced() -> Error {
    Error::new(ErrorKind::StaleClaim, "this instance was replaced by another of its name; it may claim nothing more")
}
