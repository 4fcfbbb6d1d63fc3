//! What is wrong is said before an event is taken, all of it at once.

use support::{Database, Engine, on_every_database};
use tracked_events::{AsyncPgConnection, AsyncSqliteConnection, ErrorKind, prelude::*};

use crate::note::Note;

on_every_database![
    every_mistake_in_the_wiring_is_reported_at_once,
    a_database_that_may_not_be_migrated_says_what_to_do
];

#[derive(Clone)]
struct Printer;

#[tracked_listener]
async fn print(_note: Note, _printer: State<Printer>) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener(name = "print")]
async fn print_too(_note: Note) -> Result<(), HandlerError> {
    Ok(())
}

#[tracked_listener]
async fn on_sqlite(_note: Note, _connection: &mut AsyncSqliteConnection) -> Result<(), BoxError> {
    Ok(())
}

#[tracked_listener]
async fn on_postgres(_note: Note, _connection: &mut AsyncPgConnection) -> Result<(), BoxError> {
    Ok(())
}

async fn problems(service: support::Service) -> Vec<String> {
    let error = service.try_start().await.err().expect("the service does not start");
    assert_eq!(error.kind(), ErrorKind::Config);
    let source = std::error::Error::source(&error).expect("the problems");
    source.downcast_ref::<tracked_events::ConfigError>().expect("the problems").problems().to_vec()
}

async fn every_mistake_in_the_wiring_is_reported_at_once(db: Database) {
    let service = db.service(listeners![print, print_too, on_sqlite, on_postgres]);
    let service = service.listener("prnt", |listener| listener.retries = Some(1));
    let mut found = problems(service).await;
    found.sort();
    let (wrong, right, takes) = match db.engine() {
        Engine::Sqlite => ("on_postgres", "sqlite", "postgresql"),
        Engine::Postgres => ("on_sqlite", "postgresql", "sqlite"),
    };
    let expect = [
        &["no listener `prnt` for the section `listener.prnt`; did you mean `listener.print`?"][..],
        &["listener `print` (", "start_up.rs", "needs `State<", "Printer>`", "call `app.state(…)`"],
        &["two listeners of group", "are named `print`", "give one of them another `name"],
        &[wrong, takes, right, "take `&mut Tx<'_>` instead, or change the URL"],
    ];
    assert_eq!(found.len(), expect.len(), "{found:#?}");
    for parts in expect {
        let says_it = |problem: &&String| parts.iter().all(|part| problem.contains(part));
        assert!(found.iter().any(|problem| says_it(&problem)), "none of {found:#?} says {parts:?}");
    }
    assert_eq!(db.count("instance").await, 0, "nothing runs");
}

async fn a_database_that_may_not_be_migrated_says_what_to_do(db: Database) {
    let service = db.service(listeners![print_too]).configure(|config| config.migrate = false);
    let error = service.try_start().await.err().expect("the service does not start");
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().ends_with("run the `migrate` command"), "{error}");
}
