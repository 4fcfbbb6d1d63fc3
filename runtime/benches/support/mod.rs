//! What the benchmarks share. Each measures the library against the limit: the best loop that could be written by hand
//! on the same tables, with the same durability and batch, and no framework.

#![allow(dead_code, reason = "each benchmark uses its part")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a program that people run by hand")]

pub(crate) mod args;
pub(crate) mod backlog;
pub(crate) mod framework;
pub(crate) mod listeners;
pub(crate) mod message;
#[cfg(feature = "postgres")]
mod postgres;
pub(crate) mod rig;
pub(crate) mod rounds;
mod sqlite;

use self::{args::Args, rig::Rig};

/// Events that are taken and settled together, as by the library's default.
pub(crate) const BATCH: usize = 500;

/// The backends that this build and this machine have.
pub(crate) fn rigs(args: &Args) -> Vec<Box<dyn Rig>> {
    let mut rigs: Vec<Box<dyn Rig>> = Vec::new();
    if args.wants_backend("sqlite") {
        rigs.push(Box::new(sqlite::SqliteRig::default()));
    }
    if args.wants_backend("postgres") {
        match postgres_rig() {
            Ok(rig) => rigs.push(rig),
            Err(missing) => eprintln!("postgres: skipped, {missing}"),
        }
    }
    rigs
}

#[cfg(feature = "postgres")]
fn postgres_rig() -> Result<Box<dyn Rig>, &'static str> {
    let url = std::env::var("TRACKED_TEST_POSTGRES_URL");
    let url = url.map_err(
        |_| "set TRACKED_TEST_POSTGRES_URL to a server to measure on; tests/services/postgres-up starts one",
    )?;
    Ok(Box::new(postgres::PostgresRig::new(url)))
}

#[cfg(not(feature = "postgres"))]
fn postgres_rig() -> Result<Box<dyn Rig>, &'static str> {
    Err("add --features postgres to measure it")
}
