//! From annotations and `config-autoscaler` to the policy they amount to.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use units::{ConcurrencyLimit, ReplicaCount};

use super::annotations::{Annotations, Surroundings};
use super::config::Config;
use super::{Aggregation, Class, Metric, Place, Policy, Refusal, sheet};

/// The least that is aimed for per replica, whatever was multiplied.
const LEAST_TARGET: f64 = 0.01;

/// What one set of annotations amounts to.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// The algorithm of this crate is to scale it.
    Ours(Policy),
    /// Somebody else is to scale it.
    Theirs {
        /// Who.
        class: Class,
        /// By what; empty if it is not said.
        metric: String,
    },
}

/// Resolves one set of annotations the way Knative does: if anything in it is at fault, there is no result.
///
/// # Errors
/// Every fault there is.
pub fn resolve(
    annotations: &BTreeMap<String, String>,
    config: &Config,
    container_concurrency: ConcurrencyLimit,
    reachable: bool,
) -> Result<Resolved, Vec<Refusal<Place>>> {
    let around = Surroundings { config, refuse_what_does_nothing: false };
    let annotated = sheet::parse(Annotations::default(), annotations, &around, Place::Annotations)?;
    Ok(match annotated.class.as_ref().unwrap_or(&config.class) {
        Class::Kpa => Resolved::Ours(policy_of(&annotated, config, container_concurrency, reachable)),
        other @ (Class::Hpa | Class::Other(_)) => {
            let default_metric = if *other == Class::Hpa { "cpu" } else { "" };
            let metric = annotated.metric.clone().unwrap_or_else(|| default_metric.to_owned());
            Resolved::Theirs { class: other.clone(), metric }
        }
    })
}

/// The policy of checked annotations over a checked configuration. Never fails: where a minimum and a maximum from the
/// two places disagree, both are in the policy as they are, and who bounds by them lets the minimum win.
pub fn policy_of(
    annotated: &Annotations,
    config: &Config,
    container_concurrency: ConcurrencyLimit,
    reachable: bool,
) -> Policy {
    let metric = metric_of(annotated);
    let total = total_of(annotated, config, container_concurrency);
    let stable_window = annotated.window.unwrap_or(config.stable_window);
    let max = annotated.max.unwrap_or(config.max_scale);
    Policy {
        metric,
        aggregation: match annotated.aggregation.as_deref() {
            Some("weighted-exponential") => Aggregation::WeightedExponential,
            _ => Aggregation::Linear,
        },
        target: (total * utilization_of(annotated, config)).max(LEAST_TARGET),
        total,
        burst: annotated.burst.unwrap_or(config.burst),
        panic_threshold: annotated.panic_threshold.unwrap_or(config.panic_threshold) / 100.0,
        stable_window,
        panic_window: panic_window(stable_window, annotated.panic_window.unwrap_or(config.panic_window)),
        max_scale_up_rate: config.max_scale_up_rate,
        max_scale_down_rate: config.max_scale_down_rate,
        scale_down_delay: annotated.scale_down_delay.unwrap_or(config.scale_down_delay),
        retention: if reachable { annotated.retention.unwrap_or(config.retention) } else { Duration::ZERO },
        grace: config.grace_period,
        min: ReplicaCount(if reachable { annotated.min.unwrap_or(config.min_scale) } else { 0 }),
        max: (max != 0).then_some(ReplicaCount(max)),
        initial: ReplicaCount(annotated.initial.unwrap_or(config.initial_scale)),
        activation: annotated.activation.and_then(NonZeroU32::new),
        scale_to_zero: config.enable_scale_to_zero,
        reachable,
        activator_capacity: config.activator_capacity,
    }
}

pub(super) fn metric_of(annotated: &Annotations) -> Metric {
    match annotated.metric.as_deref() {
        Some("rps") => Metric::Rps,
        _ => Metric::Concurrency,
    }
}

/// The most of the metric that a replica can hold. A container's own limit bounds an annotated target too.
pub(super) fn total_of(annotated: &Annotations, config: &Config, container_concurrency: ConcurrencyLimit) -> f64 {
    let limit = match container_concurrency {
        ConcurrencyLimit::AtMost(limit) => Some(f64::from(limit.get())),
        ConcurrencyLimit::Unlimited => None,
    };
    match metric_of(annotated) {
        Metric::Rps => annotated.target.unwrap_or(config.rps_target),
        Metric::Concurrency => match (annotated.target, limit) {
            (Some(target), Some(limit)) => target.min(limit),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => config.concurrency_target,
        },
    }
}

/// What part of `total` is aimed for, a fraction.
pub(super) fn utilization_of(annotated: &Annotations, config: &Config) -> f64 {
    match (annotated.utilization, metric_of(annotated)) {
        (Some(percent), _) => percent / 100.0,
        (None, Metric::Concurrency) => config.concurrency_utilization,
        (None, Metric::Rps) => Config::RPS_UTILIZATION,
    }
}

/// A share of the stable window, cut to whole nanoseconds and then rounded to the nearest second, half up; at least 1 s.
fn panic_window(stable: Duration, percent: f64) -> Duration {
    // A window is at most an hour, whose nanoseconds a float holds exactly.
    let share = Duration::from_nanos((stable.as_nanos() as f64 * percent / 100.0) as u64);
    let seconds = (share + Duration::from_millis(500)).as_secs();
    Duration::from_secs(seconds.max(1))
}

#[cfg(test)]
mod tests;
