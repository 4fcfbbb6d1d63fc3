//! The service that `#[tracked_publish]` functions publish for.
//!
//! Such a function has a connection and nothing else, and a process is one service: its name is the process's.

use std::sync::OnceLock;

static NAME: OnceLock<String> = OnceLock::new();

/// Names the service of this process; the first name stays.
pub(crate) fn name_service(name: &str) {
    NAME.get_or_init(|| name.to_owned());
}

/// The service's name, or `package` in a process that runs none.
#[must_use]
pub fn service_name(package: &'static str) -> &'static str {
    NAME.get().map_or(package, String::as_str)
}
