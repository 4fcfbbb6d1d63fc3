//! Values that several macros take: names, topics, durations, numbers.

use std::time::Duration;

use syn::{LitFloat, LitInt, LitStr, Type, parse::ParseStream};

use crate::{args::Arg, diagnostics::Errors};

/// How long a name in the record may be.
const MAX_NAME: usize = 100;

/// A whole number that fits a `u32`.
pub(crate) fn count(arg: &Arg, errors: &mut Errors) -> Option<u32> {
    let number = arg.parse::<LitInt>(errors)?.base10_parse().ok();
    if number.is_none() {
        arg.refuse(errors);
    }
    number
}

/// A number, with or without a decimal point.
pub(crate) fn number(arg: &Arg, errors: &mut Errors) -> Option<f64> {
    struct Number(f64);

    impl syn::parse::Parse for Number {
        fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
            let value = if input.peek(LitInt) {
                input.parse::<LitInt>()?.base10_parse()
            } else {
                input.parse::<LitFloat>()?.base10_parse()
            };
            value.map(Self)
        }
    }

    arg.parse::<Number>(errors).map(|number| number.0)
}

/// A duration as people write it: `30s`, `1m 30s`, `250ms`.
pub(crate) fn duration(arg: &Arg, errors: &mut Errors) -> Option<Duration> {
    let text: LitStr = arg.parse(errors)?;
    match humantime::parse_duration(&text.value()) {
        Ok(duration) => Some(duration),
        Err(error) => {
            let value = text.value();
            let message = format!("`{value}` is not a duration ({error}); write one such as `30s` or `1m 30s`");
            errors.at(&text, message);
            None
        }
    }
}

/// Text that goes into the record as a name: not empty, not too long, nothing invisible.
pub(crate) fn check_name(what: &str, text: &LitStr, errors: &mut Errors) {
    let value = text.value();
    if value.trim().is_empty() {
        errors.at(text, format!("`{what}` is empty; give it a name"));
    } else if value.chars().count() > MAX_NAME {
        errors.at(text, format!("`{what}` has more than {MAX_NAME} characters; give it a shorter name"));
    } else if value.chars().any(char::is_control) {
        errors.at(text, format!("`{what}` contains a control character; use only visible ones"));
    }
}

/// A topic, as every broker takes it.
pub(crate) fn check_topic(what: &str, text: &LitStr, errors: &mut Errors) {
    check_topic_text(what, &text.value(), text, errors);
}

/// The topic of dead letters, in which `{topic}` stands for the event's own.
pub(crate) fn check_dead_letter(text: &LitStr, errors: &mut Errors) {
    let value = text.value();
    if value == "{topic}" {
        errors.at(text, "`dead_letter` is the event's own topic; add something, as in `{topic}.dlq`");
        return;
    }
    check_topic_text("dead_letter", &value.replace("{topic}", "topic"), text, errors);
}

/// Whether a return type may be a `Result`, under whatever name. The compiler decides about names; these it need not
/// see.
pub(crate) fn may_be_a_result(ty: &Type) -> bool {
    const NEVER: [&str; 8] = ["Option", "Vec", "String", "bool", "str", "Box", "u64", "i64"];
    match ty {
        Type::Group(group) => may_be_a_result(&group.elem),
        Type::Paren(paren) => may_be_a_result(&paren.elem),
        Type::Path(path) => {
            !path.path.segments.last().is_some_and(|last| NEVER.iter().any(|never| last.ident == never))
        }
        Type::Macro(_) | Type::Verbatim(_) => true,
        _ => false,
    }
}

fn check_topic_text(what: &str, value: &str, text: &LitStr, errors: &mut Errors) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if value.chars().all(allowed) && !matches!(value, "." | "..") {
        check_name(what, text, errors);
    } else {
        let message = format!("`{}` is not a topic; use letters, digits, `.`, `_` and `-`", text.value());
        errors.at(text, message);
    }
}
