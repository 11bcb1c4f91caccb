use std::time::Duration;

use golden::Marks;
use kpa::DelayWindow;
use serde::Deserialize;
use serde_json::Value;
use units::Moment;

#[derive(Deserialize)]
struct Case {
    duration_ms: u64,
    granularity_ms: u64,
    initial_current: Option<i64>,
    #[serde(default)]
    ops: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    t_ms: u64,
    value: i64,
    current: i64,
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let case: Case = golden::case(line)?;
    let mut window =
        DelayWindow::new(Duration::from_millis(case.duration_ms), Duration::from_millis(case.granularity_ms));
    marks.same_part("initial_current", case.initial_current.unwrap_or(0), window.current())?;
    for (index, record) in case.ops.into_iter().enumerate() {
        marks.at(index);
        let current = window.record(Moment::from_unix_millis(record.t_ms), record.value);
        marks.same("current", record.current, current)?;
        marks.same_part("current, asked again", record.current, window.current())?;
    }
    Ok(())
}
