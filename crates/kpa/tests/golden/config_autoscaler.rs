use std::collections::BTreeMap;

use golden::{Marks, Tolerance};
use kpa::policy::Config;
use serde::Deserialize;
use serde_json::Value;

use crate::annotations::{burst, millis};

#[derive(Deserialize)]
struct Case {
    data: BTreeMap<String, String>,
    accepted: bool,
    values: Option<Values>,
}

#[derive(Deserialize)]
struct Values {
    pod_autoscaler_class: String,
    enable_scale_to_zero: bool,
    allow_zero_initial_scale: bool,
    initial_scale: u32,
    min_scale: u32,
    max_scale: u32,
    max_scale_limit: u32,
    container_concurrency_target_fraction: f64,
    container_concurrency_target_default: f64,
    requests_per_second_target_default: f64,
    target_utilization: f64,
    target_burst_capacity: f64,
    stable_window_ms: f64,
    panic_window_percentage: f64,
    panic_threshold_percentage: f64,
    max_scale_up_rate: f64,
    max_scale_down_rate: f64,
    scale_down_delay_ms: f64,
    scale_to_zero_grace_period_ms: f64,
    scale_to_zero_pod_retention_period_ms: f64,
    activator_capacity: f64,
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let case: Case = golden::case(line)?;
    marks.output();
    match (case.values, Config::parse(&case.data)) {
        (None, Err(_)) => marks.same_part("accepted", case.accepted, false),
        (Some(_), Err(refusals)) => Err(format!("expected to be accepted, but: {refusals:?}")),
        (None, Ok(config)) => Err(format!("expected to be refused, but: {config:?}")),
        (Some(expected), Ok(config)) => same_config(&expected, &config, marks),
    }
}

fn same_config(expected: &Values, config: &Config, marks: &Marks) -> Result<(), String> {
    marks.same_part("pod_autoscaler_class", expected.pod_autoscaler_class.as_str(), config.class.as_str())?;
    for (what, expected, got) in [
        ("enable_scale_to_zero", expected.enable_scale_to_zero, config.enable_scale_to_zero),
        ("allow_zero_initial_scale", expected.allow_zero_initial_scale, config.allow_zero_initial_scale),
    ] {
        marks.same_part(what, expected, got)?;
    }
    for (what, expected, got) in [
        ("initial_scale", expected.initial_scale, config.initial_scale),
        ("min_scale", expected.min_scale, config.min_scale),
        ("max_scale", expected.max_scale, config.max_scale),
        ("max_scale_limit", expected.max_scale_limit, config.max_scale_limit),
    ] {
        marks.same_part(what, expected, got)?;
    }
    for (what, expected, got) in [
        (
            "container_concurrency_target_fraction",
            expected.container_concurrency_target_fraction,
            config.concurrency_utilization,
        ),
        (
            "container_concurrency_target_default",
            expected.container_concurrency_target_default,
            config.concurrency_target,
        ),
        ("requests_per_second_target_default", expected.requests_per_second_target_default, config.rps_target),
        ("target_utilization", expected.target_utilization, Config::RPS_UTILIZATION),
        ("target_burst_capacity", expected.target_burst_capacity, burst(config.burst)),
        ("stable_window_ms", expected.stable_window_ms, millis(config.stable_window)),
        ("panic_window_percentage", expected.panic_window_percentage, config.panic_window),
        ("panic_threshold_percentage", expected.panic_threshold_percentage, config.panic_threshold),
        ("max_scale_up_rate", expected.max_scale_up_rate, config.max_scale_up_rate),
        ("max_scale_down_rate", expected.max_scale_down_rate, config.max_scale_down_rate),
        ("scale_down_delay_ms", expected.scale_down_delay_ms, millis(config.scale_down_delay)),
        ("scale_to_zero_grace_period_ms", expected.scale_to_zero_grace_period_ms, millis(config.grace_period)),
        (
            "scale_to_zero_pod_retention_period_ms",
            expected.scale_to_zero_pod_retention_period_ms,
            millis(config.retention),
        ),
        ("activator_capacity", expected.activator_capacity, config.activator_capacity),
    ] {
        marks.close_part(what, expected, got, Tolerance::USUAL)?;
    }
    Ok(())
}
