//! What a run is made of: settings, load, faults, and what is broken on purpose. All of it follows from a seed.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use kpa::{Aggregation, Metric, Policy, Rules, TargetBurstCapacity};
use units::{ConcurrencyLimit, ReplicaCount};

/// One hour, in milliseconds.
pub const HOUR: u64 = 3_600_000;

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Every draw of the run comes from it.
    pub seed: u64,
    /// How long it lasts, in simulated milliseconds.
    pub length: u64,
    /// How each revision is scaled.
    pub policy: Policy,
    /// By which rules.
    pub rules: Rules,
    /// The percents of the endpoint's revisions, one or two, which add up to 100.
    pub percents: Vec<u8>,
    /// Has every replica a sidecar? With one revision the path may go direct then.
    pub sidecars: bool,
    /// How many requests a replica works on at once.
    pub limit: ConcurrencyLimit,
    /// A start takes so long at least and at most, in milliseconds.
    pub starts: (u64, u64),
    /// A request waits at most so long, in milliseconds.
    pub max_wait: u64,
    /// What arrives.
    pub load: Load,
    /// The mean time between two faults, in milliseconds.
    pub faults_every: Option<u64>,
    /// How far every program's clock is off, in milliseconds.
    pub skew: i64,
    /// Replicas that each revision is found with.
    pub found: u32,
    /// What is broken on purpose.
    pub broken: Option<Broken>,
}

/// What arrives.
#[derive(Clone, Debug)]
pub enum Load {
    /// Stretches of nothing, of little, of much, and bursts; until the end of a run nears, so that it comes to rest.
    Stretches,
    /// One request each so many milliseconds, which takes so many milliseconds.
    Constant {
        /// From one to the next.
        every: u64,
        /// How long each takes.
        takes: u64,
    },
    /// So many requests in each second, evenly spread; each takes so many milliseconds.
    Seconds {
        /// How many, second by second.
        counts: Arc<[u32]>,
        /// How long each takes.
        takes: u64,
        /// In seconds with so many and more each takes five times as long.
        slow_from: Option<u32>,
    },
}

/// What may be broken on purpose: a law that nothing breaks is not known to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The scaler is not told of the maximum.
    NoMaximum,
    /// Zero is ordered without a seal.
    NoSeal,
    /// An activator that is not heard counts as one that said that it has nothing.
    AbsentIsZero,
    /// A young window counts as a whole one, as Knative's does.
    YoungWindowsLower,
    /// A replica is taken away whenever nothing else is to be done.
    TakesOneAway,
    /// Who waited and may go is not told.
    ForgetsOne,
    /// What is held without a replica is said to nobody.
    NoWakes,
}

impl Plan {
    /// A run with a fault a minute, of settings drawn from the seed.
    pub fn of_seed(seed: u64, hours: u64) -> Self {
        let mut draw = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let two = draw.f64() < 0.3;
        let limit = [0, 1, 2, 5, 20][draw.usize(..5)];
        let limit = ConcurrencyLimit::from_field(limit);
        let starts = [(200, 2_000), (2_000, 10_000), (20_000, 60_000)][draw.usize(..3)];
        Self {
            seed,
            length: hours * HOUR,
            policy: policy(&mut draw, limit),
            rules: Rules { startup_aware: draw.u8(..4) == 0, ..Rules::rouse() },
            percents: if two { vec![90, 10] } else { vec![100] },
            sidecars: draw.f64() < 0.7,
            limit,
            starts,
            max_wait: starts.1 + [15_000, 60_000, 300_000][draw.usize(..3)],
            load: Load::Stretches,
            faults_every: Some(60_000),
            skew: 0,
            found: draw.u32(..3),
            broken: None,
        }
    }

    /// A run without faults, of one revision with sidecars, Knative's defaults and a target of 10.
    pub fn calm(seed: u64, load: Load) -> Self {
        Self {
            seed,
            length: HOUR,
            policy: defaults(10.0),
            rules: Rules::rouse(),
            percents: vec![100],
            sidecars: true,
            limit: ConcurrencyLimit::Unlimited,
            starts: (2_000, 5_000),
            max_wait: 300_000,
            load,
            faults_every: None,
            skew: 0,
            found: 0,
            broken: None,
        }
    }
}

/// Knative's defaults, with a target of its own and at most twenty replicas.
pub fn defaults(target: f64) -> Policy {
    Policy {
        metric: Metric::Concurrency,
        aggregation: Aggregation::Linear,
        target,
        total: target / 0.7,
        burst: TargetBurstCapacity::Of(211.0),
        panic_threshold: 2.0,
        stable_window: Duration::from_secs(60),
        panic_window: Duration::from_secs(6),
        max_scale_up_rate: 1_000.0,
        max_scale_down_rate: 2.0,
        scale_down_delay: Duration::ZERO,
        retention: Duration::ZERO,
        grace: Duration::from_secs(30),
        min: ReplicaCount::ZERO,
        max: Some(ReplicaCount(20)),
        initial: ReplicaCount(1),
        activation: None,
        scale_to_zero: true,
        reachable: true,
        activator_capacity: 100.0,
    }
}

fn policy(draw: &mut fastrand::Rng, limit: ConcurrencyLimit) -> Policy {
    let target = match limit {
        ConcurrencyLimit::Unlimited => 1.0 + 9.0 * draw.f64(),
        ConcurrencyLimit::AtMost(limit) => f64::from(limit.get()) * 0.7,
    };
    let stable_s = [20, 60, 120][draw.usize(..3)];
    let metric = if draw.f64() < 0.2 { Metric::Rps } else { Metric::Concurrency };
    Policy {
        metric,
        aggregation: if draw.f64() < 0.2 { Aggregation::WeightedExponential } else { Aggregation::Linear },
        burst: match draw.u8(..4) {
            0 => TargetBurstCapacity::Unlimited,
            1 => TargetBurstCapacity::Of(0.0),
            2 => TargetBurstCapacity::Of(5.0),
            _ => TargetBurstCapacity::Of(211.0),
        },
        stable_window: Duration::from_secs(stable_s),
        panic_window: Duration::from_secs(stable_s / 10),
        max_scale_up_rate: if draw.bool() { 1_000.0 } else { 2.0 },
        scale_down_delay: Duration::from_secs([0, 0, 30, 120][draw.usize(..4)]),
        retention: Duration::from_secs([0, 0, 60][draw.usize(..3)]),
        min: ReplicaCount([0, 0, 0, 1, 2][draw.usize(..5)]),
        max: Some(ReplicaCount(draw.u32(4..20))),
        initial: ReplicaCount(draw.u32(..3)),
        activation: if draw.f64() < 0.2 { NonZeroU32::new(2) } else { None },
        ..defaults(target)
    }
}
