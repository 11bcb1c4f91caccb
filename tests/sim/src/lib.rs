//! The pure crates and a toy cluster on one clock.
//!
//! [`Plan`] says what a run is made of, [`run`] runs it: hours in a second, the same from the same seed. A law that is
//! broken ends the run, and the [`Violation`] tells its seed and what happened last. `cargo run -p sim -- laws` runs many
//! seeds, `SIM_SEED=… cargo test -p sim --test cluster a_seed` one again.
//!
//! `tests/seal` is apart: there everything that can happen to the seal is tried, here much of what can happen to all.

mod judge;
mod plan;
mod queue;
mod toy;

use std::collections::BTreeMap;
use std::fmt;

pub use judge::{Compared, Shape, compare, trace};
pub use plan::{Broken, HOUR, Load, Plan, defaults};

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps of the toy.
    pub events: u64,
    /// Things that went wrong.
    pub faults: u64,
    /// Requests that came.
    pub arrived: u64,
    /// How they ended.
    pub ends: BTreeMap<&'static str, u64>,
    /// Requests that a replica began.
    pub begun: u64,
    /// Of those, begun more than 1 s after they came.
    pub delayed: u64,
    /// Replicas that were there, from their creation on, over time.
    pub replica_millis: u64,
    /// Decisions, of all autoscalers.
    pub decisions: u64,
    /// Every change of a scale: when, of which revision, to what.
    pub scales: Vec<(u64, usize, u32)>,
    before_last: u64,
}

impl Tally {
    fn end(&mut self, how: &'static str) {
        *self.ends.entry(how).or_default() += 1;
    }

    fn scaled(&mut self, revision: usize, to: u32, at: u64) {
        self.scales.push((at, revision, to));
    }

    /// Requests that were refused, whyever.
    pub fn refused(&self) -> u64 {
        self.ends.iter().filter(|(how, _)| **how != "answered").map(|(_, count)| count).sum()
    }

    /// Requests that a replica answered.
    pub fn answered(&self) -> u64 {
        self.ends.get("answered").copied().unwrap_or(0)
    }
}

/// A law was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed of the run.
    pub seed: u64,
    /// Which, and by what.
    pub law: String,
    /// The simulated time.
    pub at: String,
    /// What happened last.
    pub story: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.story {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "seed {}, at {}: {}", self.seed, self.at, self.law)
    }
}

impl std::error::Error for Violation {}

/// Runs a plan to its end.
///
/// # Errors
/// The first law that is broken. The run is repeated then, to tell what led there.
pub fn run(plan: &Plan) -> Result<Tally, Violation> {
    match toy::Cluster::new(plan, false).run() {
        Ok(tally) => Ok(tally),
        Err(violation) => Err(toy::Cluster::new(plan, true).run().err().unwrap_or(violation)),
    }
}
