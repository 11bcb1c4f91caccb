//! Figures beside their budgets, for people and for programs.

use std::fmt;
use std::time::Duration;

use loadtest::times::Times;
use serde::{Serialize, Serializer};

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Table {
    /// What was done, in a line.
    pub(crate) title: String,
    /// One line each.
    pub(crate) rows: Vec<Row>,
}

/// A distribution of times.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    /// From what to what.
    pub(crate) what: &'static str,
    #[serde(flatten, serialize_with = "quantiles")]
    times: Times,
    /// What the 99th percentile may be; `None` for what is not ours to keep short.
    #[serde(rename = "budgetSeconds", serialize_with = "seconds")]
    budget: Option<Duration>,
    kept: Option<bool>,
}

impl Row {
    pub(crate) fn new(what: &'static str, times: Times, budget: Option<Duration>) -> Self {
        let kept = budget.map(|budget| times.quantile(0.99) <= budget);
        Self { what, times, budget, kept }
    }
}

fn quantiles<S: Serializer>(times: &Times, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap as _;
    let mut map = serializer.serialize_map(Some(3))?;
    for (name, quantile) in [("p50Seconds", 0.5), ("p99Seconds", 0.99), ("maxSeconds", 1.0)] {
        map.serialize_entry(name, &times.quantile(quantile).as_secs_f64())?;
    }
    map.end()
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        writeln!(f, "{:<44} {:>10} {:>10} {:>10}   budget for p99", "", "p50", "p99", "longest")?;
        for row in &self.rows {
            let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
            let [p50, p99, longest] = [0.5, 0.99, 1.0].map(|quantile| ms(row.times.quantile(quantile)));
            write!(f, "{:<44} {p50:>10} {p99:>10} {longest:>10}", row.what)?;
            match (row.budget, row.kept) {
                (Some(budget), Some(true)) => writeln!(f, "   {}: kept", ms(budget))?,
                (Some(budget), _) => writeln!(f, "   {}: OVER", ms(budget))?,
                (None, _) => writeln!(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(times_ms: [u64; 3]) -> Table {
        let mut times = Times::new();
        for time in times_ms {
            times.record(Duration::from_millis(time));
        }
        let budget = Duration::from_millis(5);
        Table { title: "3 wakes".to_owned(), rows: vec![Row::new("in → out", times, Some(budget))] }
    }

    #[test]
    fn a_budget_that_is_not_kept_is_said_aloud() {
        assert!(table([1, 2, 3]).to_string().contains("5.0 ms: kept"));
        assert!(table([1, 2, 30]).to_string().contains("5.0 ms: OVER"));
    }

    #[test]
    fn programs_read_seconds() {
        let json = serde_json::to_value(table([1, 2, 3])).unwrap();
        let row = &json["rows"][0];
        assert_eq!(
            (&row["p50Seconds"], &row["budgetSeconds"], &row["kept"]),
            (&0.002.into(), &0.005.into(), &true.into())
        );
    }
}
