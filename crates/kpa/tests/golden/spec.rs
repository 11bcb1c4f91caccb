//! A decider's `spec`, as deciders and pipelines have it.

use std::num::NonZeroU32;
use std::time::Duration;

use kpa::{Aggregation, Metric, Policy, TargetBurstCapacity};
use serde::Deserialize;
use serde_json::Value;
use units::ReplicaCount;

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    metric: String,
    target: f64,
    total: f64,
    tbc: f64,
    panic_threshold: f64,
    max_scale_up_rate: f64,
    max_scale_down_rate: f64,
    stable_window_ms: u64,
    #[serde(default)]
    scale_down_delay_ms: u64,
    #[serde(default)]
    activation_scale: u32,
    #[serde(default)]
    reachable: bool,
}

/// The policy that a spec stands for.
pub(crate) fn policy(spec: &Value) -> Result<Policy, String> {
    let spec: Spec = golden::case(spec)?;
    Ok(Policy {
        metric: if spec.metric == "rps" { Metric::Rps } else { Metric::Concurrency },
        target: spec.target,
        total: spec.total,
        burst: burst(spec.tbc),
        panic_threshold: spec.panic_threshold,
        stable_window: Duration::from_millis(spec.stable_window_ms),
        max_scale_up_rate: spec.max_scale_up_rate,
        max_scale_down_rate: spec.max_scale_down_rate,
        scale_down_delay: Duration::from_millis(spec.scale_down_delay_ms),
        activation: NonZeroU32::new(spec.activation_scale),
        reachable: spec.reachable,
        ..without_effect()
    })
}

/// What a case has no word for.
pub(crate) fn without_effect() -> Policy {
    Policy {
        metric: Metric::Concurrency,
        aggregation: Aggregation::Linear,
        target: 1.0,
        total: 1.0,
        burst: TargetBurstCapacity::Of(0.0),
        panic_threshold: 2.0,
        stable_window: Duration::from_secs(60),
        panic_window: Duration::from_secs(1),
        max_scale_up_rate: 1000.0,
        max_scale_down_rate: 2.0,
        scale_down_delay: Duration::ZERO,
        retention: Duration::ZERO,
        grace: Duration::from_secs(30),
        min: ReplicaCount::ZERO,
        max: None,
        initial: ReplicaCount(1),
        activation: None,
        scale_to_zero: true,
        reachable: true,
        activator_capacity: 100.0,
    }
}

pub(crate) fn burst(tbc: f64) -> TargetBurstCapacity {
    if tbc < 0.0 { TargetBurstCapacity::Unlimited } else { TargetBurstCapacity::Of(tbc) }
}
