use golden::Marks;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Case {
    population: u32,
    sample_size: u32,
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let case: Case = golden::case(line)?;
    marks.same("sample_size", case.sample_size, kpa::sample_size(case.population))
}
