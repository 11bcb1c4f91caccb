use std::time::Duration;

use golden::{Marks, Tolerance};
use kpa::{Aggregation, Decider, Metric, Rules, Series};
use serde::Deserialize;
use serde_json::Value;
use units::{Moment, ReplicaCount};

use crate::spec;

#[derive(Deserialize)]
struct Case {
    algorithm: String,
    spec: Value,
    start_ms: u64,
    initial_ready: u32,
    panic_window_ms: u64,
    has_scrape_target: bool,
    #[serde(default)]
    stats: Vec<(u64, f64, f64, f64, f64)>,
    #[serde(default)]
    decisions: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    t_ms: u64,
    ready_pods: u32,
    valid: bool,
    stable: Option<f64>,
    panic: Option<f64>,
    desired: Option<u32>,
    ebc: Option<i32>,
    panicking: bool,
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let case: Case = golden::case(line)?;
    let mut policy = spec::policy(&case.spec)?;
    policy.panic_window = Duration::from_millis(case.panic_window_ms);
    let (aggregation, tolerance) = match case.algorithm.as_str() {
        "linear" => (Aggregation::Linear, Tolerance::Absolute(1e-6)),
        "weighted-exponential" => (Aggregation::WeightedExponential, Tolerance::Either(1e-9)),
        other => return Err(format!("algorithm {other:?} is unknown")),
    };
    policy.aggregation = aggregation;
    let start = Moment::from_unix_millis(case.start_ms);
    let mut series = Series::new(&policy);
    let mut decider = Decider::new(&policy, Rules::knative(), start, ReplicaCount(case.initial_ready));

    let mut stats = case.stats.into_iter().peekable();
    for (index, expected) in case.decisions.into_iter().enumerate() {
        marks.at(index);
        while let Some((t_ms, concurrency, proxied_concurrency, requests, proxied)) =
            stats.next_if(|stat| stat.0 <= expected.t_ms)
        {
            let value = match policy.metric {
                Metric::Concurrency => concurrency - proxied_concurrency,
                Metric::Rps => requests - proxied,
            };
            series.record(Moment::from_unix_millis(t_ms), value);
        }
        let now = Moment::from_unix_millis(expected.t_ms);
        let load = (!case.has_scrape_target || !series.is_empty(now)).then(|| series.load(now));
        let wish = load.map(|load| decider.decide(now, ReplicaCount(expected.ready_pods), load, &policy));

        marks.output();
        marks.same_part("valid", expected.valid, wish.is_some())?;
        if let Some(load) = load {
            marks.close_part("stable", expected.stable.unwrap_or(f64::NAN), load.stable, tolerance)?;
            marks.close_part("panic", expected.panic.unwrap_or(f64::NAN), load.panic, tolerance)?;
        }
        marks.same_part("desired", expected.desired, wish.map(|wish| wish.want.0))?;
        marks.same_part("ebc", expected.ebc, wish.map(|wish| wish.burst_room.0))?;
        marks.same_part("panicking", expected.panicking, decider.panicking())?;
    }
    Ok(())
}
