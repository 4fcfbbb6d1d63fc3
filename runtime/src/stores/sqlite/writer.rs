//! The one writer: a thread through which every write goes, in the order in which they came.
//!
//! SQLite has one writer at a time, and a commit waits for the disk. So writes that queue up while a commit is under
//! way share the next one: each runs in a savepoint of its own, is rolled back alone when it fails, and is answered
//! after the commit. Nothing ever waits for company. A transaction of a handler takes its turn in the same queue, and
//! the thread stands still until it ends.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    time::{Duration, Instant},
};

use diesel::{connection::SimpleConnection, sqlite::SqliteConnection};
use tokio::sync::oneshot;

use super::connect::Location;
use crate::error::{Error, ErrorKind, Result};

/// How many operations share a commit at most.
const GROUP_SIZE: usize = 64;
/// How long a group goes on taking in operations.
const GROUP_TIME: Duration = Duration::from_millis(20);

/// The way to the writer.
pub(super) struct Writer {
    queue: mpsc::Sender<Request>,
}

enum Request {
    Write(Box<dyn Job>),
    Turn(oneshot::Sender<Turn>),
}

/// While it lives, nobody else in this process writes.
pub(super) struct Turn {
    _until_dropped: mpsc::Sender<()>,
}

impl Writer {
    /// Starts the thread. It ends when the writer is dropped and its queue is done.
    pub(super) fn start(location: Location) -> Result<Self> {
        let connection = location.writer()?;
        let (queue, requests) = mpsc::channel();
        let writer = WriterThread { connection, location, requests };
        std::thread::Builder::new()
            .name("tracked-sqlite-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| Error::new(ErrorKind::Store, "the writer's thread cannot be started").caused_by(error))?;
        Ok(Self { queue })
    }

    /// Runs `work` in a transaction, perhaps with others; when this returns `Ok`, it is committed. Runs to its end
    /// even if the future is dropped.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut SqliteConnection) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Typed { work: Some(work), result: None, reply };
        self.queue.send(Request::Write(Box::new(job))).map_err(|_| stopped())?;
        answer.await.map_err(|_| Error::new(ErrorKind::Store, "an operation of the store panicked"))?
    }

    /// Waits until everything that was asked before is written, and holds up what comes after.
    pub(super) async fn turn(&self) -> Result<Turn> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Request::Turn(reply)).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::ShuttingDown, "the database's writer has stopped")
}

/// An operation, whatever it returns.
trait Job: Send {
    /// Runs it; whether it is to be committed.
    fn run(&mut self, connection: &mut SqliteConnection) -> bool;

    /// Says what became of it.
    fn answer(self: Box<Self>, failure: Option<&Failure>);
}

struct Typed<T, W> {
    work: Option<W>,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, W> Job for Typed<T, W>
where
    T: Send,
    W: FnOnce(&mut SqliteConnection) -> Result<T> + Send,
{
    fn run(&mut self, connection: &mut SqliteConnection) -> bool {
        let result = self.work.take().map(|work| work(connection));
        let keep = matches!(result, Some(Ok(_)));
        self.result = result;
        keep
    }

    fn answer(self: Box<Self>, failure: Option<&Failure>) {
        let answer = match (self.result, failure) {
            (Some(Ok(_)) | None, Some(failure)) => Err(failure.error()),
            (Some(result), _) => result,
            (None, None) => return,
        };
        // Whoever asked may have gone; the write stands all the same.
        let _ = self.reply.send(answer);
    }
}

/// Why a whole group failed, for each of its operations.
struct Failure {
    kind: ErrorKind,
    message: String,
    cause: Option<String>,
}

impl Failure {
    fn error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone());
        match &self.cause {
            Some(cause) => error.caused_by(cause.clone()),
            None => error,
        }
    }
}

impl From<diesel::result::Error> for Failure {
    fn from(error: diesel::result::Error) -> Self {
        let error = Error::from(error);
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        Self { kind: error.kind(), message: error.to_string(), cause }
    }
}

struct WriterThread {
    connection: SqliteConnection,
    location: Location,
    requests: mpsc::Receiver<Request>,
}

/// How a savepoint ended.
enum Step {
    Kept,
    Undone,
    GroupLost(Failure),
}

impl WriterThread {
    fn run(mut self) {
        while let Ok(request) = self.requests.recv() {
            let mut next = Some(request);
            while let Some(request) = next.take() {
                match request {
                    Request::Turn(reply) => lend(reply),
                    Request::Write(job) => next = self.group(job),
                }
            }
        }
    }

    /// Runs a group of operations and commits; returns a request that could not be part of it.
    fn group(&mut self, first: Box<dyn Job>) -> Option<Request> {
        if let Err(refused) = self.connection.batch_execute("BEGIN IMMEDIATE") {
            first.answer(Some(&refused.into()));
            return None;
        }
        let mut jobs = vec![first];
        // Nothing is in the transaction yet, so the first needs no savepoint.
        if !self.attempt(&mut jobs[0]) {
            self.roll_back();
            answer_all(jobs, None);
            return None;
        }
        let (left_over, lost) = self.gather(&mut jobs);
        let failure = match lost {
            Some(failure) => Some(failure),
            None => self.connection.batch_execute("COMMIT").err().map(Failure::from),
        };
        if failure.is_some() {
            self.roll_back();
        }
        answer_all(jobs, failure.as_ref());
        left_over
    }

    /// Takes in what has queued up in the meantime.
    fn gather(&mut self, jobs: &mut Vec<Box<dyn Job>>) -> (Option<Request>, Option<Failure>) {
        let begun = Instant::now();
        while jobs.len() < GROUP_SIZE && begun.elapsed() < GROUP_TIME {
            let mut job = match self.requests.try_recv() {
                Ok(Request::Write(job)) => job,
                Ok(other) => return (Some(other), None),
                Err(_) => break,
            };
            let step = self.in_savepoint(&mut job);
            match step {
                Step::Kept => jobs.push(job),
                Step::Undone => job.answer(None),
                Step::GroupLost(failure) => {
                    jobs.push(job);
                    return (None, Some(failure));
                }
            }
        }
        (None, None)
    }

    fn in_savepoint(&mut self, job: &mut Box<dyn Job>) -> Step {
        if let Err(lost) = self.connection.batch_execute("SAVEPOINT operation") {
            return Step::GroupLost(lost.into());
        }
        let keep = self.attempt(job);
        let ending = if keep { "RELEASE operation" } else { "ROLLBACK TO operation; RELEASE operation" };
        match (self.connection.batch_execute(ending), keep) {
            (Ok(()), true) => Step::Kept,
            (Ok(()), false) => Step::Undone,
            // SQLite ends a transaction by itself when, for example, the disk is full.
            (Err(lost), _) => Step::GroupLost(lost.into()),
        }
    }

    /// Runs an operation; whether it is to be committed. One that panics is not, and its caller is told.
    fn attempt(&mut self, job: &mut Box<dyn Job>) -> bool {
        catch_unwind(AssertUnwindSafe(|| job.run(&mut self.connection))).unwrap_or(false)
    }

    /// Ends the transaction without a trace; a connection whose state is in doubt is replaced.
    fn roll_back(&mut self) {
        if self.connection.batch_execute("ROLLBACK").is_err()
            && let Ok(fresh) = self.location.writer()
        {
            self.connection = fresh;
        }
    }
}

fn answer_all(jobs: Vec<Box<dyn Job>>, failure: Option<&Failure>) {
    for job in jobs {
        job.answer(failure);
    }
}

/// Lets somebody else write until they are done.
fn lend(reply: oneshot::Sender<Turn>) {
    let (until_dropped, ended) = mpsc::channel();
    // Either way this returns when the turn is dropped: the sender lives in it.
    let _ = reply.send(Turn { _until_dropped: until_dropped });
    let _ = ended.recv();
}
