//! Secrets in URLs never reach a log line, an error or a page.

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// A URL without its password: `postgres://app:***@db/events`.
///
/// A password with characters that a URL should have escaped is hidden whole; when in doubt, more is hidden.
///
/// ```
/// assert_eq!(tracked_events::redacted_url("postgres://app:p@ss@db/events"), "postgres://app:***@db/events");
/// ```
#[must_use]
pub fn redacted_url(url: &str) -> String {
    hide_password_parameters(&hide_user_password(url))
}

fn hide_user_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // The last `@`: a password may hold others.
    let Some((credentials, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    match credentials.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:{HIDDEN}@{host}"),
        None => url.to_owned(),
    }
}

/// Hides `password=…` in a query, and in the `key=value` form of a connection string.
fn hide_password_parameters(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find_password_parameter(rest) {
        let (before, value) = rest.split_at(at);
        shown.push_str(before);
        shown.push_str(HIDDEN);
        rest = value.find(['&', ' ', '#']).map_or("", |end| value.split_at(end).1);
    }
    shown.push_str(rest);
    shown
}

/// Where the value of the next password begins.
fn find_password_parameter(text: &str) -> Option<usize> {
    const NAME: &str = "password=";
    text.to_ascii_lowercase().find(NAME).map(|at| at + NAME.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_password_is_hidden_and_the_rest_is_not() {
        for (url, shown) in [
            ("postgres://app:s3cret@db:5432/events", "postgres://app:***@db:5432/events"),
            ("postgres://app:p@ss/w:rd@db/events", "postgres://app:***@db/events"),
            (
                "postgres://db/events?user=app&password=s3cret&sslmode=require",
                "postgres://db/events?user=app&password=***&sslmode=require",
            ),
            ("host=db password=s3cret user=app", "host=db password=*** user=app"),
            ("postgres://db/events?sslPassword=x", "postgres://db/events?sslPassword=***"),
            ("sqlite:tracked.db", "sqlite:tracked.db"),
            ("embedded:", "embedded:"),
        ] {
            assert_eq!(redacted_url(url), shown);
        }
    }

    proptest! {
        #[test]
        fn no_password_survives(password in "[A-Z0-9@:/?#=&%]{6,30}") {
            let shown = redacted_url(&format!("postgres://app:{password}@db/events"));
            prop_assert_eq!(shown, "postgres://app:***@db/events");
        }
    }
}
