//! Rounds: the two sides take turns, each on a fresh copy of the same database, and the medians are compared.

use std::time::Duration;

use serde::Serialize;

use super::{
    args::{Args, Side},
    rig::Result,
};

/// A case, as it is printed.
#[derive(Serialize)]
pub(crate) struct Case<'a> {
    pub(crate) bench: &'a str,
    pub(crate) backend: &'a str,
    pub(crate) mode: &'a str,
    pub(crate) events: usize,
    pub(crate) rounds: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    case: &'a Case<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    framework_per_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_per_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

/// Events a second of every round, by side.
#[derive(Default)]
pub(crate) struct Rounds {
    limit: Vec<f64>,
    framework: Vec<f64>,
}

impl Rounds {
    /// The turns of a run, in their order.
    pub(crate) fn turns(args: &Args) -> Vec<Side> {
        args.sides().repeat(args.rounds())
    }

    pub(crate) fn add(&mut self, side: Side, events: usize, took: Duration) {
        let per_second = Duration::from_secs(u64::try_from(events).unwrap_or(u64::MAX)).div_duration_f64(took);
        eprintln!("  {side:?}: {per_second:.0} events/s");
        match side {
            Side::Limit => self.limit.push(per_second),
            Side::Framework => self.framework.push(per_second),
        }
    }

    /// Prints the case as one line of JSON.
    pub(crate) fn print(self, case: &Case<'_>) -> Result<()> {
        let (limit, framework) = (median(self.limit), median(self.framework));
        let ratio = framework.zip(limit).map(|(framework, limit)| (framework / limit * 1000.0).round() / 1000.0);
        let line = Line { case, framework_per_s: framework.map(whole), limit_per_s: limit.map(whole), ratio };
        println!("{}", serde_json::to_string(&line)?);
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "events a second fit easily")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}
