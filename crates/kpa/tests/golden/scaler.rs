use std::time::Duration;

use golden::Marks;
use kpa::{Bounds, Policy, Status, TargetBurstCapacity, Unwanted, Way, way};
use serde::Deserialize;
use serde_json::Value;
use units::ReplicaCount;

use crate::{active_condition, spec};

/// What is added to the progress deadline of a workload before its activation is given up.
const ACTIVATION_SLACK_MS: u64 = 30_000;
/// When to look again at a revision that was deactivated while the activators were in the path already.
const DEACTIVATED_MS: u64 = 3_000;

#[derive(Deserialize)]
struct Case {
    status: String,
    status_for_ms: u64,
    desired: i64,
    current_replicas: u32,
    initialized: bool,
    reachability: String,
    pa: Annotated,
    config: Configured,
    sks_mode: String,
    proxy_for_ms: Option<u64>,
    probe: String,
    scale: i64,
    applied: Option<u32>,
    requeue_after_ms: Option<u64>,
    probed: bool,
    async_probe: bool,
}

#[derive(Deserialize)]
struct Annotated {
    #[serde(default)]
    min_scale: u32,
    #[serde(default)]
    max_scale: u32,
    initial_scale: Option<u32>,
    window_ms: Option<u64>,
    retention_ms: Option<u64>,
    tbc: Option<f64>,
    progress_deadline_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Configured {
    enable_scale_to_zero: bool,
    stable_window_ms: u64,
    grace_period_ms: u64,
    retention_ms: u64,
    tbc: f64,
    progress_deadline_ms: u64,
    min_scale: u32,
    max_scale: u32,
    initial_scale: u32,
    allow_zero_initial_scale: bool,
}

/// What the controller does.
#[derive(Debug, Default, PartialEq)]
struct Done {
    scale: i64,
    applied: Option<u32>,
    requeue_after_ms: Option<u64>,
    probed: bool,
    async_probe: bool,
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let case: Case = golden::case(line)?;
    let proxied = match case.sks_mode.as_str() {
        "Serve" => false,
        "Proxy" => true,
        other => return Err(format!("sks_mode {other:?} is unknown")),
    };
    let answered = match case.probe.as_str() {
        "ok" => true,
        "no" | "error" => false,
        other => return Err(format!("probe {other:?} is unknown")),
    };
    let done = scale(&case, active_condition::status(&case.status, "")?, proxied, answered);
    let expected = Done {
        scale: case.scale,
        applied: case.applied,
        requeue_after_ms: case.requeue_after_ms,
        probed: case.probed,
        async_probe: case.async_probe,
    };
    marks.same("the outcome", expected, done)
}

fn scale(case: &Case, status: Status, proxied: bool, answered: bool) -> Done {
    let activating = matches!(status, Status::Activating { .. });
    if case.desired < 0 && !activating {
        return Done { scale: case.desired, ..Done::default() };
    }
    let policy = policy(case);
    let bounds = Bounds::of(&policy, case.initialized);
    let bounded = bounds.apply(ReplicaCount(u32::try_from(case.desired).unwrap_or(0))).0;
    let apply = |count: u32| Done {
        scale: i64::from(count),
        applied: (count != case.current_replicas).then_some(count),
        ..Done::default()
    };
    if bounded != 0 {
        return apply(bounded);
    }
    let deadline = case.pa.progress_deadline_ms.unwrap_or(case.config.progress_deadline_ms);
    let unwanted = Unwanted {
        status,
        status_for: Duration::from_millis(case.status_for_ms),
        activation_timeout: Duration::from_millis(deadline + ACTIVATION_SLACK_MS),
        proxied_for: case.proxy_for_ms.map(Duration::from_millis),
    };
    let always_in_path = policy.burst == TargetBurstCapacity::Unlimited;
    let asks = way(&unwanted, &policy, false) == Way::AskActivators && !always_in_path;
    let again = |rest: Duration| Some(rest.as_millis() as u64);
    let done = match way(&unwanted, &policy, answered || always_in_path) {
        Way::Leave(rest) => Done { scale: -1, requeue_after_ms: again(rest), ..Done::default() },
        Way::One(rest) => Done { requeue_after_ms: rest.and_then(again), ..apply(1) },
        Way::Deactivate => Done { requeue_after_ms: proxied.then_some(DEACTIVATED_MS), ..Done::default() },
        Way::AskActivators => Done { async_probe: true, ..Done::default() },
        Way::Retain(rest) | Way::Grace(rest) => Done { requeue_after_ms: again(rest), ..Done::default() },
        Way::Zero => apply(0),
    };
    Done { probed: asks, ..done }
}

fn policy(case: &Case) -> Policy {
    let (pa, config) = (&case.pa, &case.config);
    // 0 is "not annotated" for minimum and maximum.
    let or_configured = |annotated: u32, configured| if annotated == 0 { configured } else { annotated };
    let max = or_configured(pa.max_scale, config.max_scale);
    let initial = pa.initial_scale.filter(|initial| 0 < *initial || config.allow_zero_initial_scale);
    Policy {
        burst: spec::burst(pa.tbc.unwrap_or(config.tbc)),
        stable_window: Duration::from_millis(pa.window_ms.unwrap_or(config.stable_window_ms)),
        retention: Duration::from_millis(pa.retention_ms.unwrap_or(config.retention_ms)),
        grace: Duration::from_millis(config.grace_period_ms),
        min: ReplicaCount(or_configured(pa.min_scale, config.min_scale)),
        max: (max != 0).then_some(ReplicaCount(max)),
        initial: ReplicaCount(initial.unwrap_or(config.initial_scale)),
        scale_to_zero: config.enable_scale_to_zero,
        reachable: case.reachability != "Unreachable",
        ..spec::without_effect()
    }
}
