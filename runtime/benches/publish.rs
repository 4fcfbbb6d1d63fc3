//! How fast the relay brings staged events to the embedded broker, against the best loop written by hand.
//!
//! `cargo bench -p tracked-events --bench publish -- --backend sqlite --events 60000 --rounds 5`

mod support;

use clap::Parser;

use support::{
    args::{Args, Side},
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
        measure(rig.as_mut(), &args).await?;
        rig.finish().await?;
    }
    Ok(())
}

async fn measure(rig: &mut dyn Rig, args: &Args) -> Result<()> {
    let events = args.events(60_000);
    rig.fill(&Backlog::of(events, Stage::Staged)).await?;
    let mut rounds = Rounds::default();
    for side in Rounds::turns(args) {
        let url = rig.fresh().await?;
        let took = match side {
            Side::Limit => rig.publish(&url, events).await?,
            Side::Framework => framework::publish(rig, &url, events).await?,
        };
        rig.tally(&url).await?.check(&Tally::relayed(events))?;
        rounds.add(side, events, took);
    }
    rounds.print(&Case { bench: "publish", backend: rig.name(), mode: "relay", events, rounds: args.rounds() })
}
