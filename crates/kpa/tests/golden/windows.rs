use std::time::Duration;

use golden::{Marks, Tolerance};
use kpa::{Aggregation, Window};
use serde::Deserialize;
use serde_json::Value;
use units::Moment;

#[derive(Deserialize)]
struct Case {
    algorithm: String,
    window_ms: u64,
    granularity_ms: u64,
    #[serde(default)]
    ops: Vec<Op>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op {
    Record { t_ms: u64, value: f64 },
    Average { t_ms: u64, out: f64 },
    IsEmpty { t_ms: u64, out: bool },
    Resize { t_ms: u64, window_ms: u64 },
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let case: Case = golden::case(line)?;
    let (aggregation, tolerance) = match case.algorithm.as_str() {
        "linear" => (Aggregation::Linear, Tolerance::Absolute(1e-6)),
        "weighted" => (Aggregation::WeightedExponential, Tolerance::Either(1e-9)),
        other => return Err(format!("algorithm {other:?} is unknown")),
    };
    let granularity = Duration::from_millis(case.granularity_ms);
    let mut window = Window::new(aggregation, Duration::from_millis(case.window_ms), granularity);
    for (index, op) in case.ops.into_iter().enumerate() {
        marks.at(index);
        match op {
            Op::Record { t_ms, value } => window.record(Moment::from_unix_millis(t_ms), value),
            Op::Average { t_ms, out } => {
                marks.close("average", out, window.average(Moment::from_unix_millis(t_ms)), tolerance)?;
            }
            Op::IsEmpty { t_ms, out } => {
                marks.same("is_empty", out, window.is_empty(Moment::from_unix_millis(t_ms)))?;
            }
            Op::Resize { t_ms, window_ms } => {
                window.resize(Moment::from_unix_millis(t_ms), Duration::from_millis(window_ms), false);
            }
        }
    }
    Ok(())
}
