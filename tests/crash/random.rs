//! Deaths at random points and times under load, from a seed.
#![allow(clippy::print_stdout, reason = "the seed tells the story again")]

use fastrand::Rng;
use support::{DEADLINE, Database, Engine, within};

use crate::{
    campaign::{Campaign, number, on_every_engine, rounds},
    points::POINTS,
    process::Ended,
};

on_every_engine![random_kills_under_load];

/// How many processes die in a run, if they do not finish before.
const KILLS: usize = 6;
/// The last passage of a point at which a process dies.
const PASSAGES: u32 = 40;
/// How many lines a process says before it has nothing left to do, and is not killed any more.
const LINES: usize = 14;

async fn random_kills_under_load(engine: Engine) {
    let first = number("TRACKED_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..));
    for seed in (0..u64::from(rounds())).map(|round| first.wrapping_add(round)) {
        println!("random kills: seed {seed}; TRACKED_CRASH_SEED={seed} tells this story again");
        let db = Database::create(engine).await;
        within(DEADLINE, kill_by_chance(&db, seed)).await;
    }
}

async fn kill_by_chance(db: &Database, seed: u64) {
    let mut chance = Rng::with_seed(seed);
    let campaign = Campaign::prepare(db).await;
    let mut killed = 0;
    for _ in 0..KILLS {
        let ended = if chance.bool() {
            let point = POINTS[chance.usize(..POINTS.len())];
            campaign.start(Some((point, chance.u32(1..=PASSAGES)))).end().await
        } else {
            let mut worker = campaign.start(None);
            worker.lines(chance.usize(..LINES)).await;
            worker.kill().await
        };
        killed += usize::from(ended == Ended::Killed);
    }
    campaign.finish(&format!("{killed} random kills of seed {seed}")).await;
}
