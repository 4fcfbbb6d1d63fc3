use std::{io::Write, net::SocketAddr, time::Duration};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{
    listen::{Handle, ListenerDeclaration, ListenerOptions, Location, Order},
    retry::Backoff,
};

/// A file that goes away with the value.
fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load(text: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
    let file = file(text);
    let sources = Sources {
        file: Some(file.path().to_owned()),
        environment: environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        flags: flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
    };
    let loaded = Config::from_sources("booking", &sources);
    let path = file.path().display().to_string();
    loaded.map_err(|error| {
        let mut named = ConfigError::default();
        error.problems().iter().for_each(|problem| named.push(problem.replace(&path, "tracked.toml")));
        named
    })
}

fn problems(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    load(text, environment, &[]).unwrap_err().problems().to_vec()
}

fn declaration(name: &'static str) -> ListenerDeclaration {
    ListenerDeclaration {
        name,
        topics: &["booking-confirmed"],
        group: None,
        event_type: "*",
        options: ListenerOptions::DEFAULT,
        handle: Handle::Blocking(|_| Ok(())),
        identify: None,
        redacted: &[],
        requires: Vec::new,
        location: Location { module: "m", file: "f.rs", line: 1 },
    }
}

#[test]
fn each_layer_is_stronger_than_the_one_before() {
    let text = "database_url = 'sqlite:file.db'\nbatch = 7\nlease = '20s'";
    let environment = [("TRACKED_BATCH", "8"), ("TRACKED_DATABASE_URL", "sqlite:env.db")];
    let config = load(text, &environment, &[("database_url", "sqlite:flag.db")]).unwrap();
    assert_eq!(config.database_url, "sqlite:flag.db");
    assert_eq!(config.batch, 8);
    assert_eq!(config.lease, Duration::from_secs(20));
    assert_eq!(config.poll_interval, Duration::from_secs(1));
}

#[test]
fn the_file_that_the_environment_names_is_read() {
    let file = file("batch = 7");
    let sources = Sources { environment: vec![("TRACKED_CONFIG".into(), file.path().into())], ..Sources::default() };
    assert_eq!(Config::from_sources("booking", &sources).unwrap().batch, 7);
}

#[test]
fn a_file_that_was_named_and_is_not_there_is_a_problem() {
    let sources = Sources { file: Some("/nowhere/tracked.toml".into()), ..Sources::default() };
    let error = Config::from_sources("booking", &sources).unwrap_err().to_string();
    assert!(error.starts_with("`/nowhere/tracked.toml` cannot be read"), "{error}");
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let text = "databse_url = 'x'\n\nlease = '10x'\nbatch = 0\n[listener.send_mail]\nretires = 3\nconcurrency = -1\n";
    let environment = [("TRACKED_MIGRATE", "maybe"), ("TRACKED_BROKR_URL", "embedded:")];
    let mut found = problems(text, &environment);
    found.sort();
    let expected = [
        "TRACKED_BROKR_URL: unknown setting `TRACKED_BROKR_URL`; did you mean `TRACKED_BROKER_URL`?",
        "TRACKED_MIGRATE: `migrate` is `maybe`, which is not `true` or `false`",
        "tracked.toml:1: unknown setting `databse_url`; did you mean `database_url`?",
        "tracked.toml:3: `lease` is `10x`, which is not a duration; write one such as `30s` or `1m 30s`",
        "tracked.toml:4: `batch` is `0`, which must be at least 1",
        "tracked.toml:6: unknown setting `listener.send_mail.retires`; did you mean `listener.send_mail.retries`?",
        "tracked.toml:7: `listener.send_mail.concurrency` is `-1`, which is not a whole number from 0 to 4294967295",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_file_that_is_not_toml_says_where() {
    let problems = problems("batch = 7\nlease = = '1s'\n", &[]);
    assert!(problems[0].starts_with("tracked.toml:2: "), "{problems:?}");
}

#[test]
fn a_password_is_in_no_error_and_no_debug_output() {
    let mistaken = problems("lease = 'postgres://app:s3cret@db/events'", &[]);
    assert!(mistaken[0].contains("postgres://app:***@db/events"), "{mistaken:?}");
    let config =
        load("database_url = 'postgres://app:s3cret@db/events'\n[app.mail]\ntoken = 's3cret'", &[], &[]).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn every_option_of_a_listener_can_be_overridden() {
    let text = r#"
        [listener.send_mail]
        retries = 5
        timeout = "5s"
        processing_timeout = "7s"
        backoff = { kind = "fixed", delay = "3s", jitter = 0 }
        concurrency = 2
        queue = 9
        order = "key"
        on_dead_letter = "hold_key"
        dead_letter = "mail.dead"
        start = "latest"
    "#;
    let config = load(text, &[("TRACKED_LISTENER__SEND_MAIL__RETRIES", "6")], &[]).unwrap();
    let options = config.listener_options(&declaration("send_mail")).unwrap();
    let expected = ListenerOptions {
        retries: 6,
        timeout: Duration::from_secs(5),
        processing_timeout: Duration::from_secs(7),
        backoff: Backoff::Fixed { delay: Duration::from_secs(3), jitter: 0.0 },
        concurrency: 2,
        queue: 9,
        order: Order::Key,
        on_dead_letter: crate::listen::OnDeadLetter::HoldKey,
        dead_letter: "mail.dead".into(),
        start: crate::listen::Start::Latest,
    };
    assert_eq!(options, expected);
}

#[test]
fn a_backoff_keeps_what_is_not_overridden() {
    let config = load("[listener.a.backoff]\ninitial = '2s'\n[listener.b]\nbackoff = 'none'", &[], &[]).unwrap();
    let Backoff::Exponential { initial, multiplier, .. } = config.listener_options(&declaration("a")).unwrap().backoff
    else {
        panic!("another kind")
    };
    assert_eq!((initial, multiplier), (Duration::from_secs(2), 2.0));
    assert_eq!(config.listener_options(&declaration("b")).unwrap().backoff, Backoff::None);
}

#[test]
fn options_that_cannot_go_together_are_refused_together() {
    let text = "[listener.a]\ntimeout = '0s'\nconcurrency = 0\nprocessing_timeout = '0s'\n\
                on_dead_letter = 'hold_key'\nbackoff = { jitter = 1.5, max = '10ms', delay = '1s' }";
    let config = load(text, &[], &[]).unwrap();
    let error = config.listener_options(&declaration("a")).unwrap_err();
    let found: Vec<_> = error.problems().iter().map(|problem| problem.split_once("`a`: ").unwrap().1).collect();
    assert_eq!(
        found,
        [
            "`delay` has no meaning for the backoff `exponential`; set `backoff.kind` too, or leave it out",
            "`timeout` is zero; every attempt would time out",
            "`processing_timeout` is zero; every attempt would time out",
            "`concurrency` is zero; nothing would be handled, use 1 or more",
            "`hold_key` holds what an ordered listener handles; add `order = \"key\"`",
            "`max` is shorter than `initial`; make it at least as long",
            "`jitter` is the part by which a wait may grow; use 0 to 1",
        ]
    );
    let config = load("[listener.a]\ntimeout = '2m'", &[], &[]).unwrap();
    let error = config.listener_options(&declaration("a")).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "`a`: a handler may take 2m (`timeout`) but the whole delivery only 1m (`processing_timeout`); \
             make `processing_timeout` longer than `timeout`"
        ),
        "{error}"
    );
}

#[test]
fn an_override_of_a_listener_that_is_not_there_names_the_nearest() {
    let config = load("[listener.send_mial]\nretries = 1", &[], &[]).unwrap();
    let error = config.check_listeners(["send_mail", "add_points"]).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "no listener `send_mial` for the section `listener.send_mial`; did you mean `listener.send_mail`?"
        ),
        "{error}"
    );
    config.check_listeners(["send_mial"]).unwrap();
}

#[test]
fn the_dashboard_can_be_moved_and_turned_off() {
    let bind = |value| load("", &[("TRACKED_DASHBOARD_BIND", value)], &[]).map(|config| config.dashboard_bind);
    assert_eq!(bind("0.0.0.0:9000").unwrap(), Some(SocketAddr::from(([0, 0, 0, 0], 9000))));
    assert_eq!(bind("off").unwrap(), None);
    assert!(bind("8080").is_err());
}

#[derive(Debug, PartialEq, Deserialize)]
struct Mail {
    host: String,
    port: u16,
    #[serde(default)]
    retry: bool,
}

#[test]
fn a_section_of_the_service_is_read_from_file_and_environment() {
    let text = "[app.mail]\nhost = 'localhost'\nport = 25";
    let environment = [("TRACKED_APP__MAIL__PORT", "2525"), ("TRACKED_APP__MAIL__RETRY", "true")];
    let mail: Mail = load(text, &environment, &[]).unwrap().app_section("mail").unwrap();
    assert_eq!(mail, Mail { host: "localhost".into(), port: 2525, retry: true });
}

#[test]
fn a_section_that_does_not_fit_says_where_and_why() {
    let config = load("[app.mail]\nhost = 'localhost'\nport = 'many'", &[], &[]).unwrap();
    let error = config.app_section::<Mail>("mail").unwrap_err().to_string();
    assert!(
        error.starts_with("`[app.mail]` does not fit: invalid type: string \"many\", expected") && error.contains(":3"),
        "{error}"
    );
    let error = config.app_section::<Mail>("mial").unwrap_err().to_string();
    assert!(error.ends_with("there is no such section, but there is `[app.mail]`"), "{error}");
}

proptest! {
    #[test]
    fn no_file_and_no_environment_makes_it_panic(text in ".{0,80}", name in "TRACKED_[A-Z_]{0,20}", value in ".{0,20}") {
        let _ = load(&text, &[(&name, &value)], &[]);
    }

    #[test]
    fn a_duration_is_read_as_it_was_written(millis in 1_000_u64..10_000_000_000) {
        let lease = Duration::from_millis(millis);
        let text = format!("lease = '{}'", humantime::format_duration(lease));
        prop_assert_eq!(load(&text, &[], &[]).unwrap().lease, lease);
    }
}
