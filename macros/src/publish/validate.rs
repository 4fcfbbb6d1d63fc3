//! The rules of a publishing function.

use super::model::Options;
use crate::{diagnostics::Errors, function::Function, values};

/// Checks the options.
pub(super) fn options(options: &Options, errors: &mut Errors) {
    if let Some(topic) = &options.topic {
        values::check_topic("topic", topic, errors);
    }
}

/// Checks the function.
pub(super) fn function(function: &Function, errors: &mut Errors) {
    is_not_const(function, errors);
    returns_a_result(function, errors);
}

fn is_not_const(function: &Function, errors: &mut Errors) {
    if let Some(token) = &function.sig.constness {
        errors.at(token, "a publishing function writes to the database; remove `const`");
    }
}

fn returns_a_result(function: &Function, errors: &mut Errors) {
    const CURE: &str = "staging can fail; return a `Result` of an event, of an `Option` or `Vec` of one, or of \
                        `Published<T, E>`";
    match function.output() {
        None => errors.at(&function.sig.ident, CURE),
        Some(ty) if !values::may_be_a_result(ty) => errors.at(ty, CURE),
        Some(_) => {}
    }
}
