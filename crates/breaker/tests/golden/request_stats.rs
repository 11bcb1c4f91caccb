//! The set `request_stats`: time-weighted concurrency, of which a report is the difference of two readings.

use breaker::{Meter, Via};
use golden::{Marks, Tolerance, case};
use serde::Deserialize;
use serde_json::Value;
use units::Moment;

#[derive(Deserialize)]
struct Case {
    start_ms: u64,
    ops: Vec<Op>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op {
    ReqIn { t_ms: u64 },
    ReqOut { t_ms: u64 },
    ProxiedIn { t_ms: u64 },
    ProxiedOut { t_ms: u64 },
    Report { t_ms: u64, avg_concurrency: f64, avg_proxied_concurrency: f64, request_count: f64, proxied_count: f64 },
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let case: Case = case(line)?;
    let start = Moment::from_unix_millis(case.start_ms);
    let mut meter = Meter::new(start);
    let mut before = meter.read(start);
    for (index, op) in case.ops.into_iter().enumerate() {
        marks.at(index);
        match op {
            Op::ReqIn { t_ms } => meter.arrive(Moment::from_unix_millis(t_ms), Via::Direct),
            Op::ReqOut { t_ms } => meter.leave(Moment::from_unix_millis(t_ms), Via::Direct),
            Op::ProxiedIn { t_ms } => meter.arrive(Moment::from_unix_millis(t_ms), Via::Activator),
            Op::ProxiedOut { t_ms } => meter.leave(Moment::from_unix_millis(t_ms), Via::Activator),
            Op::Report { t_ms, avg_concurrency, avg_proxied_concurrency, request_count, proxied_count } => {
                let reading = meter.read(Moment::from_unix_millis(t_ms));
                let got = reading.since(&before);
                before = reading;
                marks.output();
                let usual = Tolerance::USUAL;
                marks.close_part("avg_concurrency", avg_concurrency, got.mean_concurrency, usual)?;
                marks.close_part(
                    "avg_proxied_concurrency",
                    avg_proxied_concurrency,
                    got.mean_proxied_concurrency,
                    usual,
                )?;
                marks.same_part("request_count", request_count, got.requests as f64)?;
                marks.same_part("proxied_count", proxied_count, got.proxied_requests as f64)?;
            }
        }
    }
    Ok(())
}
