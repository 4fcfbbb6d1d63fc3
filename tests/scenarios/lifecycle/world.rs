//! Lives through a plan on a real service, and holds its record against the table.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use support::{Database, Transition, Transitions, eventually};
use tracked_events::{
    Handle, HandlerError,
    prelude::*,
    store::{ListenerPause, OperatorAct, OperatorAction, RecordQuery},
    stores::migrations,
};

use super::model::{Act, End, Plan, RETRIES, is_allowed};
use crate::note::{Note, deliver, delivery};

/// How the next runs end.
#[derive(Clone)]
struct Script(Arc<Mutex<HashMap<String, Vec<End>>>>);

impl Script {
    fn of(plan: &Plan) -> Self {
        let ends = plan.ends.iter().enumerate();
        Self(Arc::new(Mutex::new(
            ends.map(|(event, ends)| (name(event), ends.iter().rev().copied().collect())).collect(),
        )))
    }

    fn next(&self, id: &str) -> End {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.get_mut(id).and_then(Vec::pop).unwrap_or(End::Ok)
    }
}

fn name(event: usize) -> String {
    format!("event-{event}")
}

#[tracked_listener(retries = 2, timeout = "20ms", backoff = fixed(delay = "3ms"), order = "key", concurrency = 4)]
async fn perform(note: Note, script: State<Script>) -> Result<(), HandlerError> {
    let end = script.next(&note.id);
    tokio::task::yield_now().await;
    match end {
        End::Ok => Ok(()),
        End::Error => Err(HandlerError::from_box("forgot the line".into())),
        End::Timeout => std::future::pending().await,
        End::Panic => panic!("stage fright"),
        End::Reject => Err(HandlerError::reject("not my part")),
        End::Invalid => Err(HandlerError::invalid("no such part")),
        End::Snooze => Err(HandlerError::snooze(Duration::from_millis(2))),
        End::RetryAfter => Err(HandlerError::retry_after(Duration::from_millis(1), "not yet")),
    }
}

/// A service, and what is done to it.
struct World<'a> {
    db: &'a Database,
    script: Script,
    service: Handle,
    instances: usize,
    delivered: BTreeMap<String, usize>,
    conflicts: usize,
}

pub(crate) async fn live(db: &Database, plan: Plan) {
    migrations::migrate(db.url()).await.unwrap();
    let transitions = Transitions::watch(db).await;
    let script = Script::of(&plan);
    let service = start(db, &script, 0).await;
    let mut world = World { db, script, service, instances: 1, delivered: BTreeMap::new(), conflicts: 0 };
    for act in &plan.acts {
        world.act(act).await;
    }
    world.settle().await;
    world.check_ends().await;
    check(&transitions.consumed().await);
    world.check_attempts().await;
}

async fn start(db: &Database, script: &Script, instance: usize) -> Handle {
    let service = db.service(listeners![perform]).instance(&format!("instance-{instance}")).state(script.clone());
    service
        .configure(|config| {
            config.poll_interval = Duration::from_millis(20);
            config.lease = Duration::from_secs(1);
        })
        .start()
        .await
}

fn note(event: usize) -> Note {
    Note::of(&format!("key-{}", event % 5), name(event))
}

impl World<'_> {
    async fn act(&mut self, act: &Act) {
        match act {
            Act::Deliver { event } => {
                deliver(&self.service, vec![delivery(&note(*event))]).await;
                *self.delivered.entry(name(*event)).or_default() += 1;
            }
            Act::Conflict { event } => {
                deliver(&self.service, vec![delivery(&note(*event).saying("something else"))]).await;
                self.conflicts += 1;
            }
            Act::Restart => {
                self.service.drain().await.unwrap();
                self.service = start(self.db, &self.script, self.instances).await;
                self.instances += 1;
            }
            Act::Replace => self.service = start(self.db, &self.script, self.instances - 1).await,
            Act::RetryAll => self.review(OperatorAction::Retry).await,
            Act::DiscardAll => self.review(OperatorAction::Discard).await,
            Act::Pause => self.pause().await,
            Act::Resume => {
                self.service.store().resume_listener(&self.db.service_name(), "perform").await.unwrap();
            }
        }
    }

    async fn review(&self, action: OperatorAction) {
        let query = RecordQuery { limit: 1000, ..RecordQuery::default() };
        let rows = self.service.store().for_review(&query).await.unwrap();
        let ids = rows.iter().map(|row| row.id).collect();
        let now = self.service.clock().now();
        let act = OperatorAct { ids, action, operator: "ann".to_owned(), reason: None, now };
        self.service.store().act(act).await.unwrap();
    }

    async fn pause(&self) {
        let pause = ListenerPause {
            group: self.db.service_name(),
            listener: "perform".to_owned(),
            operator: "ann".to_owned(),
            reason: None,
            now: self.service.clock().now(),
        };
        self.service.store().pause_listener(pause).await.unwrap();
    }

    /// Lets everything come to its end.
    async fn settle(&self) {
        self.service.store().resume_listener(&self.db.service_name(), "perform").await.unwrap();
        let open = "event_consumption_log WHERE status IN ('RECEIVED', 'PROCESSING', 'FAILED')";
        eventually("everything comes to its end", async || {
            let resumed = self.service.status().listeners.iter().all(|listener| !listener.paused);
            if !resumed {
                return false;
            }
            self.service.idle().await.unwrap();
            self.db.count(open).await == 0
        })
        .await;
    }

    /// Every delivery left a record, and no event is handled twice.
    async fn check_ends(&self) {
        let records: Vec<(String, String)> =
            self.db.rows("event_id, status", "FROM event_consumption_log ORDER BY id").await;
        let deliveries = self.delivered.values().sum::<usize>() + self.conflicts;
        assert_eq!(records.len(), deliveries, "each delivery has a record of its own");
        for id in self.delivered.keys() {
            let handled = records.iter().filter(|(event, status)| event == id && status == "PROCESSED").count();
            let given_up = ["FAILED_MAX_RETRY", "INVALID", "DISCARDED"];
            let ended = records.iter().filter(|(event, status)| event == id && given_up.contains(&status.as_str()));
            assert!(handled > 0 || ended.count() > 0, "{id} came to no end: {records:?}");
        }
        for table in ["claim", "inbox_queue WHERE state <> 'review'", "outbox_queue WHERE state <> 'review'"] {
            assert_eq!(self.db.count(table).await, 0, "nothing is left in {table}");
        }
    }

    /// Between an operator's acts no record has more counted attempts than its listener allows, and every dead letter
    /// was published.
    async fn check_attempts(&self) {
        let counted: Vec<(i64, i64, i64)> = self
            .db
            .rows(
                "l.id, l.redrive_count, count(a.id)",
                "FROM event_consumption_log l JOIN event_attempt a ON a.consumption_id = l.id
                 AND a.status IN ('SUCCESS', 'FAILED', 'TIMEOUT', 'PANIC', 'REJECTED') GROUP BY l.id, l.redrive_count",
            )
            .await;
        let most = i64::try_from(RETRIES).unwrap() + 1;
        for (record, redrives, attempts) in counted {
            assert!(attempts <= most * (redrives + 1), "record {record} has {attempts} attempts");
        }
        assert_eq!(self.db.count("event_production_log WHERE status <> 'PUBLISHED'").await, 0);
        let numbers = "(SELECT consumption_id, attempt_number FROM event_attempt
                        GROUP BY consumption_id, attempt_number HAVING count(*) > 1) twice";
        assert_eq!(self.db.count(numbers).await, 0, "attempts are numbered one after the other");
    }
}

/// Holds the changes of each record against the table.
fn check(transitions: &[Transition]) {
    let mut present: HashMap<i64, &str> = HashMap::new();
    for (record, from, to) in transitions {
        assert_eq!(present.get(record).copied(), from.as_deref(), "record {record} goes on from where it was");
        assert!(is_allowed(from.as_deref(), to), "record {record} went from {from:?} to {to}");
        present.insert(*record, to);
    }
}
