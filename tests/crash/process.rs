//! A process of the service, which dies where it was told to.

use std::{os::unix::process::ExitStatusExt, path::Path, process::Stdio};

use support::Database;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// SIGKILL, as the system numbers it.
const KILLED: i32 = 9;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was killed.
    Killed,
    /// It had nothing left to do, and drained.
    Drained,
}

/// A process that is killed when this goes.
pub(crate) struct Worker {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
}

/// What a process is started with.
pub(crate) struct Start<'a> {
    pub(crate) db: &'a Database,
    pub(crate) ledger: &'a Path,
    pub(crate) notes: u32,
    /// The point and the passage of it at which the process dies.
    pub(crate) death: Option<(&'a str, u32)>,
    /// The guard that it does without.
    pub(crate) guard_off: Option<&'a str>,
}

impl Worker {
    /// Starts one. All have the same name, so that each takes over from the one before it at once.
    pub(crate) fn start(start: &Start<'_>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crash-worker"));
        command.args([start.db.url(), &start.db.service_name(), "one"]).arg(start.ledger).arg(start.notes.to_string());
        command.env_remove("TRACKED_KILL_AT").stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        if let Some((point, passage)) = start.death {
            command.env("TRACKED_KILL_AT", format!("{point}:{passage}"));
        }
        command.env_remove("TRACKED_GUARD_OFF").envs(start.guard_off.map(|guard| ("TRACKED_GUARD_OFF", guard)));
        let mut process = command.spawn().unwrap();
        let says = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, says }
    }

    /// Waits until it has said this many lines, or has ended before.
    pub(crate) async fn lines(&mut self, count: usize) {
        for _ in 0..count {
            if self.says.next_line().await.unwrap().is_none() {
                return;
            }
        }
    }

    /// SIGKILL, unless it has ended already.
    pub(crate) async fn kill(mut self) -> Ended {
        // It may have ended meanwhile.
        let _ = self.process.start_kill();
        self.end().await
    }

    /// Waits until it has ended of itself.
    pub(crate) async fn end(mut self) -> Ended {
        while self.says.next_line().await.unwrap().is_some() {}
        let status = self.process.wait().await.unwrap();
        match status.signal() {
            Some(KILLED) => Ended::Killed,
            _ if status.success() => Ended::Drained,
            _ => panic!("the worker ended with {status}; its standard error says why"),
        }
    }
}
