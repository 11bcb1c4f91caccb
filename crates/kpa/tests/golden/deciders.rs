use golden::Marks;
use kpa::{Decider, Load, Rules};
use serde::Deserialize;
use serde_json::{Map, Value};
use units::{Moment, ReplicaCount};

use crate::spec;

#[derive(Deserialize)]
struct Case {
    spec: Value,
    start_ms: u64,
    initial_ready: u32,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    t_ms: u64,
    #[serde(default)]
    set: Map<String, Value>,
    #[serde(default)]
    ready_pods: u32,
    stable: Option<f64>,
    panic: Option<f64>,
    error: Option<String>,
    valid: bool,
    desired: Option<u32>,
    ebc: Option<i32>,
    panicking: bool,
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let mut case: Case = golden::case(line)?;
    let start = Moment::from_unix_millis(case.start_ms);
    let mut policy = spec::policy(&case.spec)?;
    let mut decider = Decider::new(&policy, Rules::knative(), start, ReplicaCount(case.initial_ready));
    for (index, step) in case.steps.into_iter().enumerate() {
        marks.at(index);
        if !step.set.is_empty() {
            for (field, value) in step.set {
                case.spec[field.as_str()] = value;
            }
            policy = spec::policy(&case.spec)?;
            decider.follow(&policy);
        }
        let load = match (step.error.as_deref(), step.stable, step.panic) {
            (Some("no_data" | "ready_count"), _, _) => None,
            (Some(other), _, _) => return Err(format!("error {other:?} is unknown")),
            (None, Some(stable), Some(panic)) => Some(Load { stable, panic }),
            (None, _, _) => return Err("has neither `error` nor both averages".to_owned()),
        };
        let now = Moment::from_unix_millis(step.t_ms);
        let wish = load.map(|load| decider.decide(now, ReplicaCount(step.ready_pods), load, &policy));
        marks.output();
        marks.same_part("valid", step.valid, wish.is_some())?;
        marks.same_part("desired", step.desired, wish.map(|wish| wish.want.0))?;
        marks.same_part("ebc", step.ebc, wish.map(|wish| wish.burst_room.0))?;
        marks.same_part("panicking", step.panicking, decider.panicking())?;
    }
    Ok(())
}
