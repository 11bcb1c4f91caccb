//! What Knative's own tests prove, proved of this crate: their cases and numbers, one behaviour each.
//!
//! `docs/parity.md` says which of these stands for which of Knative's. Everything is played with [`kpa::Rules::knative`].

mod collection;
mod decider;
mod inputs;
mod settings;
mod to_zero;
mod windows;
mod worked_example;

use std::time::Duration;

use kpa::policy::{Config, Resolved};
use kpa::{Aggregation, Metric, Policy, TargetBurstCapacity};
use units::{ConcurrencyLimit, Moment, ReplicaCount};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A moment of a day on which nothing happened.
fn at(second: u64) -> Moment {
    Moment::from_unix(seconds(1_700_000_000 + second))
}

/// What Knative's tests of the decision use: a tenth and tenfold in one evaluation, three quarters of what a replica holds.
fn policy(target: f64) -> Policy {
    Policy {
        metric: Metric::Concurrency,
        aggregation: Aggregation::Linear,
        target,
        total: target / 0.75,
        burst: TargetBurstCapacity::Of(100.0),
        panic_threshold: 2.0,
        stable_window: seconds(60),
        panic_window: seconds(6),
        max_scale_up_rate: 10.0,
        max_scale_down_rate: 10.0,
        scale_down_delay: Duration::ZERO,
        retention: Duration::ZERO,
        grace: seconds(30),
        min: ReplicaCount::ZERO,
        max: None,
        initial: ReplicaCount(1),
        activation: None,
        scale_to_zero: true,
        reachable: true,
        activator_capacity: 100.0,
    }
}

/// These annotations (without their prefix) over `config`.
fn resolve(pairs: &[(&str, &str)], config: &Config) -> Result<Resolved, Vec<String>> {
    let annotations = pairs.iter().map(|(key, value)| (format!("autoscaling.knative.dev/{key}"), (*value).to_owned()));
    kpa::policy::resolve(&annotations.collect(), config, ConcurrencyLimit::Unlimited, true)
        .map_err(|refusals| refusals.iter().map(|refusal| refusal.key.to_owned()).collect())
}

fn resolved(pairs: &[(&str, &str)], config: &Config) -> Policy {
    match resolve(pairs, config) {
        Ok(Resolved::Ours(policy)) => policy,
        other => panic!("{pairs:?}: {other:?}"),
    }
}

/// A `config-autoscaler` of these keys.
fn config(pairs: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    Config::parse(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        .map_err(|refusals| refusals.iter().map(|refusal| refusal.key.to_owned()).collect())
}
