use std::collections::BTreeMap;
use std::time::Duration;

use golden::{Marks, Tolerance};
use kpa::policy::{Config, Resolved, resolve};
use kpa::{Aggregation, Metric, Policy, TargetBurstCapacity};
use serde::Deserialize;
use serde_json::Value;
use units::ConcurrencyLimit;

#[derive(Deserialize)]
struct Case {
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    config: BTreeMap<String, String>,
    #[serde(default)]
    container_concurrency: u32,
    #[serde(default)]
    reachability: String,
    accepted: bool,
    resolved: Option<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    class: String,
    metric: String,
    #[serde(flatten)]
    ours: Option<Ours>,
}

#[derive(Deserialize)]
struct Ours {
    #[serde(default)]
    aggregation_algorithm: String,
    target: f64,
    total: f64,
    tbc: f64,
    panic_threshold: f64,
    stable_window_ms: f64,
    panic_window_ms: f64,
    scale_down_delay_ms: f64,
    scale_to_zero_pod_retention_ms: f64,
    min_scale: u32,
    max_scale: u32,
    initial_scale: u32,
    activation_scale: u32,
    reachable: bool,
    has_scrape_target: bool,
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let case: Case = golden::case(line)?;
    let config = Config::parse(&case.config).map_err(|refusals| format!("its config is refused: {refusals:?}"))?;
    let limit = ConcurrencyLimit::from_field(case.container_concurrency);
    let resolved = resolve(&case.annotations, &config, limit, case.reachability != "Unreachable");

    marks.output();
    match (case.resolved, resolved) {
        (None, Err(_)) => marks.same_part("accepted", case.accepted, false),
        (Some(_), Err(refusals)) => Err(format!("expected to be accepted, but: {refusals:?}")),
        (None, Ok(resolved)) => Err(format!("expected to be refused, but: {resolved:?}")),
        (Some(expected), Ok(Resolved::Theirs { class, metric })) => {
            marks.same_part("class", expected.class.as_str(), class.as_str())?;
            marks.same_part("metric", expected.metric, metric)?;
            marks.same_part("is somebody else's", expected.ours.is_none(), true)
        }
        (Some(expected), Ok(Resolved::Ours(policy))) => {
            marks.same_part("class", expected.class.as_str(), "kpa.autoscaling.knative.dev")?;
            let metric = match policy.metric {
                Metric::Concurrency => "concurrency",
                Metric::Rps => "rps",
            };
            marks.same_part("metric", expected.metric.as_str(), metric)?;
            same_policy(&expected.ours.ok_or("resolved: fields are missing")?, &policy, marks)
        }
    }
}

fn same_policy(expected: &Ours, policy: &Policy, marks: &Marks) -> Result<(), String> {
    let aggregation = match expected.aggregation_algorithm.as_str() {
        "weighted-exponential" => Aggregation::WeightedExponential,
        _ => Aggregation::Linear,
    };
    marks.same_part("aggregation_algorithm", aggregation, policy.aggregation)?;
    for (what, expected, got) in [
        ("target", expected.target, policy.target),
        ("total", expected.total, policy.total),
        ("tbc", expected.tbc, burst(policy.burst)),
        ("panic_threshold", expected.panic_threshold, policy.panic_threshold),
        ("stable_window_ms", expected.stable_window_ms, millis(policy.stable_window)),
        ("panic_window_ms", expected.panic_window_ms, millis(policy.panic_window)),
        ("scale_down_delay_ms", expected.scale_down_delay_ms, millis(policy.scale_down_delay)),
        ("scale_to_zero_pod_retention_ms", expected.scale_to_zero_pod_retention_ms, millis(policy.retention)),
    ] {
        marks.close_part(what, expected, got, Tolerance::USUAL)?;
    }
    for (what, expected, got) in [
        ("min_scale", expected.min_scale, policy.min.0),
        ("max_scale", expected.max_scale, policy.max.map_or(0, |max| max.0)),
        ("initial_scale", expected.initial_scale, policy.initial.0),
        ("activation_scale", expected.activation_scale, policy.activation.map_or(0, Into::into)),
    ] {
        marks.same_part(what, expected, got)?;
    }
    marks.same_part("reachable", expected.reachable, policy.reachable)?;
    marks.same_part("has_scrape_target", expected.has_scrape_target, policy.burst != TargetBurstCapacity::Unlimited)
}

pub(crate) fn burst(burst: TargetBurstCapacity) -> f64 {
    match burst {
        TargetBurstCapacity::Unlimited => -1.0,
        TargetBurstCapacity::Of(capacity) => capacity,
    }
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}
