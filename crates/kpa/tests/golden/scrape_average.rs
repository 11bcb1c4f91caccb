use golden::{Marks, Tolerance};
use kpa::Stat;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Case {
    pods: u32,
    sample_size: usize,
    stats: Vec<[f64; 4]>,
    average: [f64; 4],
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let case: Case = golden::case(line)?;
    let sample: Vec<Stat> = case.stats.iter().map(|columns| stat(*columns)).collect();
    marks.same_part("sample_size", case.sample_size, sample.len())?;
    let got = kpa::stand_for_all(&sample, case.pods).ok_or("nobody was asked")?;
    let expected = stat(case.average);
    marks.output();
    for (name, expected, got) in [
        ("average_concurrency", expected.average_concurrency, got.average_concurrency),
        ("average_proxied_concurrency", expected.average_proxied_concurrency, got.average_proxied_concurrency),
        ("request_count", expected.request_count, got.request_count),
        ("proxied_count", expected.proxied_count, got.proxied_count),
    ] {
        marks.close_part(name, expected, got, Tolerance::USUAL)?;
    }
    Ok(())
}

fn stat([average_concurrency, average_proxied_concurrency, request_count, proxied_count]: [f64; 4]) -> Stat {
    Stat { average_concurrency, average_proxied_concurrency, request_count, proxied_count }
}
