//! Startup-aware scaling beside plain, on replicas that take 20 to 60 s to start: what it saves, and whom it costs.
//!
//! A model that works a second on each request, ten at a time; Knative's defaults (target 70 % of ten), at most forty
//! replicas. Loads are drawn second by second from a rate, by Poisson; both runs get the very same requests.

use std::sync::Arc;

use kpa::{Policy, Rules};
use units::{ConcurrencyLimit, ReplicaCount};

use crate::plan::{HOUR, Load, Plan, defaults};
use crate::{Tally, Violation, run};

const TAKES: u64 = 1_000;
const SYNTHETIC_HOURS: usize = 6;

/// A shape of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing for a quarter of an hour or two, then 5 to 30 requests a second for some minutes.
    FromZero,
    /// 5 requests a second, and now and then 30 to 80 for one to five minutes.
    Bursts,
    /// 5 requests a second, and now and then 50 to 100 for five to fifteen seconds: over before anything has started.
    Spikes,
    /// From 2 to 60 requests a second in ten minutes, and back in ten.
    Ramps,
    /// Another level, up to 60 requests a second, each five to fifteen minutes.
    Steps,
    /// 20 requests a second throughout.
    Constant,
    /// As `Bursts`, and in each burst every request takes five times as long: what was learned is wrong.
    Slower,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::FromZero, Self::Bursts, Self::Spikes, Self::Ramps, Self::Steps, Self::Constant, Self::Slower];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::FromZero => "from zero",
            Self::Bursts => "bursts",
            Self::Spikes => "spikes",
            Self::Ramps => "ramps",
            Self::Steps => "steps",
            Self::Constant => "constant",
            Self::Slower => "bursts of slow requests",
        }
    }

    /// Requests in each second.
    pub fn counts(self, seed: u64) -> Arc<[u32]> {
        let mut draw = fastrand::Rng::with_seed(seed);
        let seconds = SYNTHETIC_HOURS * 3_600;
        let mut rates: Vec<f64> = Vec::with_capacity(seconds);
        while rates.len() < seconds {
            let mut hold = |rate: f64, seconds: u64| rates.extend((0..seconds).map(|_| rate));
            match self {
                Self::FromZero => {
                    hold(0.0, draw.u64(900..1_800));
                    hold(5.0 + 25.0 * draw.f64(), draw.u64(60..600));
                }
                Self::Bursts | Self::Slower => {
                    hold(5.0, draw.u64(600..1_200));
                    hold(30.0 + 50.0 * draw.f64(), draw.u64(60..300));
                }
                Self::Spikes => {
                    hold(5.0, draw.u64(600..1_200));
                    hold(50.0 + 50.0 * draw.f64(), draw.u64(5..15));
                }
                Self::Ramps => {
                    let up = (0..600).map(|second| 2.0 + 58.0 * f64::from(second) / 600.0);
                    let up: Vec<f64> = up.collect();
                    rates.extend(up.iter().chain(up.iter().rev()));
                }
                Self::Steps => hold(60.0 * draw.f64(), draw.u64(300..900)),
                Self::Constant => hold(20.0, 600),
            }
        }
        rates.truncate(seconds);
        rates.into_iter().map(|rate| poisson(&mut draw, rate)).collect()
    }
}

/// A day of a trace (rows of `time,count over five minutes`), scaled so that the whole trace has five requests a second
/// on average. `None` if it has no such day.
pub fn trace(text: &str, day: usize, seed: u64) -> Option<Arc<[u32]>> {
    const A_DAY: usize = 288;
    let counts: Vec<f64> = text.lines().filter_map(|line| line.split(',').nth(1)?.trim().parse().ok()).collect();
    let scale = 5.0 / (counts.iter().sum::<f64>() / counts.len() as f64);
    let of_day = counts.get(day * A_DAY..(day + 1) * A_DAY)?;
    let mut draw = fastrand::Rng::with_seed(seed);
    Some(of_day.iter().flat_map(|count| [count * scale; 300]).map(|rate| poisson(&mut draw, rate)).collect())
}

/// So many events of a rate in one second.
fn poisson(draw: &mut fastrand::Rng, rate: f64) -> u32 {
    // In parts, because e^-rate is 0 for large ones.
    let parts = (rate / 20.0).ceil().max(1.0);
    let limit = (-rate / parts).exp();
    let part = |draw: &mut fastrand::Rng| {
        let (mut events, mut product) = (0, draw.f64());
        while limit < product {
            events += 1;
            product *= draw.f64();
        }
        events
    };
    (0..parts as u32).map(|_| part(draw)).sum()
}

/// Both runs of the same requests.
#[derive(Clone, Debug)]
pub struct Compared {
    /// As it is by default.
    pub plain: Tally,
    /// With the option.
    pub aware: Tally,
}

/// Runs the same requests by both.
///
/// # Errors
/// A law that is broken.
pub fn compare(counts: &Arc<[u32]>, slower: bool, seed: u64) -> Result<Compared, Violation> {
    let of = |startup_aware| {
        let policy = Policy { total: 10.0, max: Some(ReplicaCount(40)), ..defaults(7.0) };
        let rules = Rules { startup_aware, ..Rules::rouse() };
        let load = Load::Seconds { counts: Arc::clone(counts), takes: TAKES, slow_from: slower.then_some(20) };
        run(&Plan {
            length: (counts.len() as u64 * 1_000).max(HOUR),
            policy,
            rules,
            sidecars: true,
            limit: ConcurrencyLimit::from_field(10),
            starts: (20_000, 60_000),
            ..Plan::calm(seed, load)
        })
    };
    Ok(Compared { plain: of(false)?, aware: of(true)? })
}
