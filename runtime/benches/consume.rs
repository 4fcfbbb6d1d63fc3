//! How fast events are consumed, from the embedded broker to PROCESSED, against the best loop written by hand.
//!
//! `cargo bench -p tracked-events --bench consume -- --backend sqlite --mode batched --events 60000 --rounds 5`

mod support;

use clap::Parser;

use support::{
    args::{Args, Mode, Side},
    backlog::{Backlog, Stage},
    framework,
    rig::{Result, Rig, Tally},
    rigs,
    rounds::{Case, Rounds},
};

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    for mut rig in rigs(&args) {
        for mode in args.modes() {
            measure(rig.as_mut(), mode, &args).await?;
        }
        rig.finish().await?;
    }
    Ok(())
}

async fn measure(rig: &mut dyn Rig, mode: Mode, args: &Args) -> Result<()> {
    // A commit for each event takes its time.
    let events = args.events(if mode == Mode::Transactional { 3_000 } else { 60_000 });
    rig.fill(&Backlog::of(events, Stage::Published)).await?;
    let mut rounds = Rounds::default();
    for side in Rounds::turns(args) {
        let url = rig.fresh().await?;
        let took = match side {
            Side::Limit => rig.consume(&url, mode, events).await?,
            Side::Framework => framework::consume(rig, &url, mode, events).await?,
        };
        rig.tally(&url).await?.check(&Tally::consumed(events))?;
        rounds.add(side, events, took);
    }
    rounds.print(&Case { bench: "consume", backend: rig.name(), mode: mode.name(), events, rounds: args.rounds() })
}
