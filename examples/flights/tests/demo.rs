//! The example as people run it: the program itself, on a database of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

mod database;

use database::Database;

const FLIGHTS: &str = env!("CARGO_BIN_EXE_flights");

/// The demo, which fails when it is not done after five minutes.
fn demo(database: &Database) -> Command {
    let mut command = Command::new("timeout");
    command.args(["300", FLIGHTS]);
    on(database, command)
}

fn on(database: &Database, mut command: Command) -> Command {
    // No `tracked.toml` and no variables of whoever runs the test.
    command.current_dir(database.directory()).env_clear().env("TRACKED_DATABASE_URL", database.url());
    command.arg("demo");
    command
}

fn finish(database: &Database) -> Value {
    summary(&demo(database).arg("--json").output().unwrap())
}

fn summary(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(text.lines().last().expect("a last line")).expect("one JSON object")
}

fn start(database: &Database) -> Child {
    let mut job = on(database, Command::new(FLIGHTS));
    job.arg("--json").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// What the file comes to, however often the job was interrupted.
fn assert_totals(summary: &Value) {
    assert_eq!(summary["published"], 6099, "{summary:#}");
    assert_eq!(summary["departed"], 6064, "{summary:#}");
    assert_eq!(summary["cancelled"], 35, "{summary:#}");
    assert_eq!(summary["processed"], 6064 * 3 + 35, "{summary:#}");
    assert_eq!(summary["dead_lettered"], 0, "{summary:#}");
    assert_eq!(summary["duplicates"], 0, "{summary:#}");
    assert_eq!(summary["invalid"], 0, "{summary:#}");
    assert_eq!(summary["no_handler"], 0, "{summary:#}");
    assert_eq!(summary["out_of_order"], 0, "{summary:#}");
    assert_eq!(summary["aircraft"], 2045, "{summary:#}");
    assert_eq!(summary["mean_departure_delay"], 9.2009, "{summary:#}");
    assert_eq!(summary["by_carrier"].as_object().unwrap().len(), 15, "{summary:#}");
    assert_eq!(summary["by_carrier"]["UA"]["departed"], 1064, "{summary:#}");
    assert_eq!(summary["by_carrier"]["UA"]["mean_departure_delay"], 9.5207, "{summary:#}");
}

fn a_week_is_published_and_handled(database: &Database) {
    let first = finish(database);
    assert_totals(&first);
    assert_eq!(first["already_complete"], false);
    // Those whose notice met the outage of the mail service, and no others.
    assert_eq!(first["retried"], 68, "{first:#}");

    let mut second = finish(database);
    assert_eq!(second["already_complete"], true);
    for run in ["already_complete", "seconds", "events_per_second"] {
        second[run] = first[run].clone();
    }
    assert_eq!(first, second, "a run after the last one changes nothing");
}

fn a_killed_job_goes_on_where_it_stopped(database: &Database) {
    for moment in [300, 1700, 900] {
        let mut job = start(database);
        thread::sleep(Duration::from_millis(moment));
        job.kill().unwrap();
        job.wait().unwrap();
    }
    assert_totals(&finish(database));
}

#[test]
fn a_week_is_published_and_handled_on_sqlite() {
    a_week_is_published_and_handled(&Database::sqlite());
}

#[test]
fn a_week_is_published_and_handled_on_postgres() {
    a_week_is_published_and_handled(&Database::postgres());
}

#[test]
fn a_killed_job_goes_on_where_it_stopped_on_sqlite() {
    a_killed_job_goes_on_where_it_stopped(&Database::sqlite());
}

#[test]
fn a_killed_job_goes_on_where_it_stopped_on_postgres() {
    a_killed_job_goes_on_where_it_stopped(&Database::postgres());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = demo(&Database::sqlite()).arg("no/such.csv").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("`no/such.csv` cannot be read"));
}

#[test]
fn flights_of_two_files_are_not_mixed() {
    let database = Database::sqlite();
    let small = database.directory().join("small.csv");
    let header = "dep_time,dep_delay,carrier,flight,tailnum,origin,dest,minute,time_hour";
    std::fs::write(&small, format!("{header}\n517,2,UA,1545,N14228,EWR,IAH,15,2013-01-01T10:00:00Z\n")).unwrap();
    let first = summary(&demo(&database).arg(&small).arg("--json").output().unwrap());
    assert_eq!(first["processed"], 3);

    std::fs::write(&small, format!("{header}\n533,4,UA,1714,N24211,LGA,IAH,29,2013-01-01T10:00:00Z\n")).unwrap();
    let output = demo(&database).arg(&small).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("holds the flights of another file"));
}
