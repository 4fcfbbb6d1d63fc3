use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::booking::Booking;

/// A process that does not outlive its test.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        // It has ended already when all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The service, running.
struct Running {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    address: String,
}

impl Running {
    /// Starts it, and waits until it says where it serves health and metrics.
    fn start(booking: &Booking) -> Self {
        let mut command = booking.command(&["run", "--dashboard-bind", "127.0.0.1:0"]);
        let mut child = Child(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        let mut log = BufReader::new(child.0.stderr.take().unwrap());
        let mut lines = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended: {lines}");
            if let Some((_, address)) = line.trim().split_once("health and metrics on http://") {
                return Self { child, log, address: address.to_owned() };
            }
            lines.push_str(&line);
        }
    }

    fn ask(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: booking\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Asks it to stop, and returns its exit code and the rest of its log.
    fn terminate(mut self) -> (i32, String) {
        let pid = self.child.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.0.wait().unwrap().code().unwrap(), rest)
    }
}

#[test]
fn run_serves_health_and_metrics_and_drains_on_sigterm() {
    let booking = Booking::seeded();
    let running = Running::start(&booking);
    assert_eq!(running.ask("/health/live").0, 200);
    let (status, body) = running.ask("/health/ready");
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &report["ready"]), (200, &Value::Bool(true)), "{body}");
    let checks: Vec<_> =
        report["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(checks, ["database", "schema", "broker", "consumers"]);
    let (status, metrics) = running.ask("/metrics");
    assert_eq!(status, 200);
    for line in [
        "# HELP tracked_events_consumed_total Events that reached a status",
        "# TYPE tracked_events_processing_duration_seconds histogram",
        "tracked_events_backlog{group=\"cli-tests\",listener=\"send_confirmation\",state=\"review\"} 1",
        "tracked_events_outbox_backlog{state=\"pending\"} 0",
    ] {
        assert!(metrics.contains(line), "`{line}` is not in\n{metrics}");
    }
    let (code, log) = running.terminate();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("stopped"), "{log}");
}

#[test]
fn status_is_watched_in_lines_of_json() {
    let booking = Booking::seeded();
    let mut command = booking.command(&["status", "--watch", "--json"]);
    let mut child = Child(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let services = lines.take(2).map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["service"].clone());
    assert_eq!(services.collect::<Vec<_>>(), ["cli-tests", "cli-tests"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let booking = Booking::seeded();
    let mut child = Child(booking.command(&["events", "list", "--json"]).stdout(Stdio::piped()).spawn().unwrap());
    drop(child.0.stdout.take());
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[test]
fn an_instance_that_runs_is_seen_by_doctor() {
    let booking = Booking::seeded();
    let running = Running::start(&booking);
    assert!(booking.run(&["doctor"]).out.contains("ok    instances      1 instance running"));
    assert_eq!(running.terminate().0, 0);
}

#[test]
fn a_port_that_is_taken_names_the_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = Booking::new().run_with(&["run"], &[("TRACKED_DASHBOARD_BIND", &address)]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let start = format!(
        "error: health and metrics cannot be served on `{address}`; set `dashboard_bind` (`TRACKED_DASHBOARD_BIND`)"
    );
    assert!(ran.err.starts_with(&start), "{ran:?}");
}
