//! A worker process that a scenario starts, listens to and kills.

use std::process::Stdio;

use support::Database;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// A process of the service on a database. It is killed when this goes.
pub(crate) struct Worker {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts one and waits until it runs.
    pub(crate) async fn start(db: &Database, role: &str, instance: &str) -> Self {
        let mut worker = Self::begin(db, role, instance);
        worker.until("ready").await;
        worker
    }

    /// Starts one.
    pub(crate) fn begin(db: &Database, role: &str, instance: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_worker"))
            .args([role, db.url(), &db.service_name(), instance])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let says = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, says }
    }

    /// Waits for a line that begins so; the rest of it.
    pub(crate) async fn until(&mut self, begin: &str) -> String {
        loop {
            let line = self.says.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the worker ended without saying `{begin}`"));
            if let Some(rest) = line.strip_prefix(begin) {
                return rest.trim().to_owned();
            }
        }
    }

    /// SIGSTOP: it stands still, wherever it is.
    pub(crate) async fn stop(&self) {
        self.signal("-STOP").await;
    }

    /// SIGCONT: it goes on as if nothing had happened.
    pub(crate) async fn go_on(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let id = self.process.id().expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
    }

    /// SIGKILL: it gets no chance to say or write anything.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Waits until it has died of itself.
    pub(crate) async fn death(mut self) {
        // Its input must not end before it does: that would let it drain.
        let _input = self.process.stdin.take();
        assert!(!self.process.wait().await.unwrap().success());
    }

    /// Lets it drain.
    pub(crate) async fn drain(mut self) {
        drop(self.process.stdin.take());
        self.until("drained").await;
        assert!(self.process.wait().await.unwrap().success());
    }
}
