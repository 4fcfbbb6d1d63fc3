//! What `#[tracked_publish]` does around a function: begin, body, insert, commit or roll back.
#![allow(clippy::unwrap_used, missing_docs)]

use diesel::result::Error as DieselError;
use tracked_events::{
    __private::{AsyncStage, Ending, StageScope, SyncStage},
    prelude::*,
    store::StagedEvent,
};

#[derive(Debug, PartialEq, Serialize, Deserialize, TrackedEvent)]
struct Booked {
    #[tracked_event(key)]
    seat: String,
}

#[derive(Debug, PartialEq)]
enum Refused {
    Full,
    Database(String),
}

impl From<DieselError> for Refused {
    fn from(error: DieselError) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<std::num::ParseIntError> for Refused {
    fn from(_: std::num::ParseIntError) -> Self {
        Self::Full
    }
}

/// Writes down what is asked of it.
struct Recorder {
    scope: Option<StageScope>,
    calls: Vec<String>,
}

impl Recorder {
    fn new(scope: Option<StageScope>) -> Self {
        Self { scope, calls: Vec::new() }
    }

    fn opened() -> Self {
        Self::new(Some(StageScope::Opened))
    }

    fn write(&mut self, what: &str) {
        self.calls.push(what.to_owned());
    }
}

impl SyncStage for Recorder {
    fn begin(&mut self) -> Result<StageScope, DieselError> {
        self.write("begin");
        self.scope.ok_or(DieselError::BrokenTransactionManager)
    }

    fn insert(&mut self, events: &[StagedEvent]) -> Result<(), DieselError> {
        for event in events {
            let key = String::from_utf8(event.envelope.key.clone().unwrap()).unwrap();
            self.write(&format!("insert {key} into {} of {}, {}", event.topic, event.service, event.max_retries));
        }
        Ok(())
    }

    fn end(&mut self, scope: StageScope, ending: Ending) -> Result<(), DieselError> {
        self.write(&format!("{ending:?} {scope:?}"));
        Ok(())
    }
}

impl AsyncStage for Recorder {
    async fn begin(&mut self) -> Result<StageScope, DieselError> {
        SyncStage::begin(self)
    }

    async fn insert(&mut self, events: &[StagedEvent]) -> Result<(), DieselError> {
        SyncStage::insert(self, events)
    }

    async fn end(&mut self, scope: StageScope, ending: Ending) -> Result<(), DieselError> {
        SyncStage::end(self, scope, ending)
    }
}

/// An early return, `?`, and a move out of a parameter.
#[tracked_publish(retries = 7, topic = "seats")]
async fn book(tx: &mut Recorder, seats: Vec<String>, price: &str) -> Result<Vec<Booked>, Refused> {
    if seats.is_empty() {
        return Err(Refused::Full);
    }
    let _price: u32 = price.parse()?;
    let connection = tx;
    connection.write("body");
    Ok(seats.into_iter().map(|seat| Booked { seat }).collect())
}

#[tracked_publish(on = second)]
fn book_blocking(first: &mut Recorder, second: &mut Recorder, seat: &str) -> Result<Published<usize, Booked>, Refused> {
    first.write("body");
    if seat.is_empty() {
        return Err(Refused::Full);
    }
    Ok(Published::new(seat.len(), Booked { seat: seat.to_owned() }))
}

struct Desk {
    prefix: String,
}

impl Desk {
    /// A method, whose error is a trait object that the body's errors become.
    #[tracked_publish]
    async fn book(&self, tx: &mut Recorder, seat: Option<&str>) -> Result<Option<Booked>, Box<dyn std::error::Error>> {
        match seat {
            Some("") => Err(Box::new(std::fmt::Error)),
            Some(seat) => Ok(Some(Booked { seat: format!("{}{seat}", self.prefix) })),
            None => Ok(None),
        }
    }
}

#[tokio::test]
async fn events_are_inserted_after_the_body_and_committed() {
    let mut tx = Recorder::opened();
    let booked = book(&mut tx, vec!["1A".to_owned(), "1B".to_owned()], "80").await.unwrap();
    assert_eq!(booked.len(), 2);
    let expected = [
        "begin",
        "body",
        "insert 1A into seats of macro-tests, 7",
        "insert 1B into seats of macro-tests, 7",
        "Commit Opened",
    ];
    assert_eq!(tx.calls, expected);
}

#[tokio::test]
async fn an_early_return_of_an_error_rolls_back() {
    let mut tx = Recorder::opened();
    assert_eq!(book(&mut tx, Vec::new(), "80").await.unwrap_err(), Refused::Full);
    assert_eq!(tx.calls, ["begin", "Rollback Opened"]);
}

#[tokio::test]
async fn a_question_mark_rolls_back() {
    let mut tx = Recorder::opened();
    assert_eq!(book(&mut tx, vec!["1A".to_owned()], "much").await.unwrap_err(), Refused::Full);
    assert_eq!(tx.calls, ["begin", "Rollback Opened"]);
}

#[tokio::test]
async fn the_body_does_not_run_when_no_transaction_can_be_opened() {
    let mut tx = Recorder::new(None);
    let refused = book(&mut tx, vec!["1A".to_owned()], "80").await.unwrap_err();
    assert!(matches!(refused, Refused::Database(_)));
    assert_eq!(tx.calls, ["begin"]);
}

#[test]
fn a_synchronous_function_stages_on_the_connection_that_it_names() {
    let [mut first, mut second] = [StageScope::Opened, StageScope::Joined].map(|scope| Recorder::new(Some(scope)));
    assert_eq!(book_blocking(&mut first, &mut second, "2C").unwrap().value, 2);
    assert_eq!(first.calls, ["body"]);
    assert_eq!(second.calls, ["begin", "insert 2C into booked of macro-tests, 3", "Commit Joined"]);
    assert_eq!(book_blocking(&mut first, &mut second, "").unwrap_err(), Refused::Full);
    assert_eq!(second.calls.last().unwrap(), "Rollback Joined");
}

#[tokio::test]
async fn a_method_publishes() {
    let (desk, mut tx) = (Desk { prefix: "row ".to_owned() }, Recorder::opened());
    assert_eq!(desk.book(&mut tx, Some("3")).await.unwrap().unwrap().seat, "row 3");
    assert_eq!(tx.calls, ["begin", "insert row 3 into booked of macro-tests, 3", "Commit Opened"]);
}

#[tokio::test]
async fn nothing_to_publish_still_commits_what_the_body_did() {
    let (desk, mut tx) = (Desk { prefix: String::new() }, Recorder::opened());
    assert!(desk.book(&mut tx, None).await.unwrap().is_none());
    assert!(desk.book(&mut tx, Some("")).await.is_err());
    assert_eq!(tx.calls, ["begin", "Commit Opened", "begin", "Rollback Opened"]);
}
