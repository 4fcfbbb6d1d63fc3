//! The rules of `consumer_main!`.

use super::model::Main;
use crate::diagnostics::Errors;

/// Checks every rule.
pub(super) fn check(main: &Main, errors: &mut Errors) {
    default_needs_command(main, errors);
}

fn default_needs_command(main: &Main, errors: &mut Errors) {
    if let Some(default) = main.default.as_ref().filter(|_| !main.has_command) {
        errors.at(&default.arg.name, "`default` is one of the service's own commands; add `command = Cli`");
    }
}
