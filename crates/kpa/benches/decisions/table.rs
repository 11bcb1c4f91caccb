//! Figures beside their budgets, for people and for programs, and as a row of `docs/performance.md`.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// The section whose table gets a row.
const SECTION: &str = "## Decisions";

pub(crate) struct Table {
    pub(crate) machine: String,
    pub(crate) rows: Vec<Row>,
}

pub(crate) struct Row {
    what: &'static str,
    /// Shortest first.
    times: Vec<Duration>,
    /// For the 99th percentile.
    budget: Option<Duration>,
    /// How often something was allocated in all of it; where it is counted, none is the budget.
    allocations: Option<u64>,
}

impl Row {
    pub(crate) fn new(what: &'static str, mut times: Vec<Duration>, budget: Option<Duration>) -> Self {
        times.sort_unstable();
        Self { what, times, budget, allocations: None }
    }

    pub(crate) fn allocating(self, allocations: u64) -> Self {
        Self { allocations: Some(allocations), ..self }
    }

    fn quantile(&self, quantile: f64) -> Duration {
        let rank = (quantile * self.times.len() as f64).ceil() as usize;
        self.times.get(rank.max(1) - 1).copied().unwrap_or_default()
    }

    fn kept(&self) -> Option<bool> {
        let budget = self.budget?;
        Some(self.quantile(0.99) <= budget && self.allocations.unwrap_or(0) == 0)
    }
}

impl Table {
    pub(crate) fn to_json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            json!({
                "what": row.what,
                "count": row.times.len(),
                "p50Seconds": row.quantile(0.5).as_secs_f64(),
                "p99Seconds": row.quantile(0.99).as_secs_f64(),
                "maxSeconds": row.quantile(1.0).as_secs_f64(),
                "budgetSeconds": row.budget.map(|budget| budget.as_secs_f64()),
                "allocations": row.allocations,
                "kept": row.kept(),
            })
        });
        format!("{:#}", json!({ "machine": self.machine, "rows": rows.collect::<Vec<Value>>() }))
    }

    /// Adds what was measured today below the last row of the section's table.
    pub(crate) fn add_to(&self, file: &Path) -> Result<(), String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("reading {}: {error}", file.display()))?;
        let today = jiff::Timestamp::now().strftime("%Y-%m-%d");
        let cells = self.rows.iter().map(|row| {
            let over = if row.kept() == Some(false) { " **over**" } else { "" };
            format!(" | {} / {}{over}", show(row.quantile(0.5)), show(row.quantile(0.99)))
        });
        let allocated: u64 = self.rows.iter().filter_map(|row| row.allocations).sum();
        let row = format!("| {today}{} | {allocated} | {} |", cells.collect::<String>(), self.machine);
        let text = with_row(&text, &row).ok_or(format!("{} has no table under {SECTION:?}", file.display()))?;
        std::fs::write(file, text).map_err(|error| format!("writing {}: {error}", file.display()))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        writeln!(f, "{:<44} {:>10} {:>10} {:>10}   budget for p99", "", "p50", "p99", "longest")?;
        for row in &self.rows {
            let [p50, p99, longest] = [0.5, 0.99, 1.0].map(|quantile| show(row.quantile(quantile)));
            write!(f, "{:<44} {p50:>10} {p99:>10} {longest:>10}", row.what)?;
            if let (Some(budget), Some(kept)) = (row.budget, row.kept()) {
                write!(f, "   {}", show(budget))?;
                if let Some(allocations) = row.allocations {
                    write!(f, ", {allocations} allocations, 0 allowed")?;
                }
                write!(f, ": {}", if kept { "kept" } else { "OVER" })?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn show(time: Duration) -> String {
    match time.as_nanos() {
        nanos if nanos < 1_000 => format!("{nanos} ns"),
        nanos if nanos < 1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        nanos => format!("{:.1} ms", nanos as f64 / 1e6),
    }
}

/// What it runs on, and how busy that is already.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cores} cores, load average {load} at the start")
}

/// `None` if there is no such table.
fn with_row(text: &str, row: &str) -> Option<String> {
    let section = text.find(SECTION)?;
    let table = section + text[section..].find("\n|")? + 1;
    if text[section + SECTION.len()..table].contains("\n## ") {
        return None;
    }
    let end = text[table..].lines().take_while(|line| line.starts_with('|')).map(|line| line.len() + 1).sum::<usize>();
    let (before, after) = text.split_at((table + end).min(text.len()));
    Some(format!("{}\n{row}\n{after}", before.trim_end_matches('\n')))
}
