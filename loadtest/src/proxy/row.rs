//! One line for the table of `docs/performance.md`.

use std::path::Path;

use anyhow::Context as _;

use crate::proxy::figures::{Report, Spread};
use crate::proxy::peers::Kind;

/// The section whose first table gets it.
const SECTION: &str = "## The sidecar on every request";

/// Adds what was measured today below the last row.
///
/// # Errors
/// If the file cannot be changed, or has no such table.
pub(crate) fn add_to(file: &Path, report: &Report) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let text = with_row(&text, &row(&today, report))
        .with_context(|| format!("{} has no table under {SECTION:?}", file.display()))?;
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
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

/// Date, processor time a request of each, ours to others, and what else has a budget.
fn row(today: &str, report: &Report) -> String {
    let us = |kind| {
        let figures = report.peers.get(&kind);
        figures.map_or("–".to_owned(), |figures| format!("{:.1}", figures.cpu_seconds.median * 1e6))
    };
    let columns = [Kind::QueueProxy, Kind::Bare, Kind::Nginx, Kind::Haproxy, Kind::Knative];
    let cpu = columns.map(us).join(" | ");
    let Some(ours) = report.peers.get(&Kind::QueueProxy) else {
        return format!("| {today} | {cpu} | – | – | – | – | – | – | {} |", report.machine);
    };
    let times = |ratio: Option<Spread>| ratio.map_or("–".to_owned(), |ratio| format!("{:.2}", ratio.median));
    let ratios = [ours.to_bare, ours.to_nginx, ours.to_haproxy].map(times).join(" | ");
    let mib = |bytes: f64| format!("{:.1}", bytes / f64::from(1 << 20));
    let p99 = ours.added_p99_seconds.median * 1e3;
    let memory = format!("{} / {}", mib(ours.idle_bytes), mib(ours.loaded_bytes));
    let size = mib(ours.binary_bytes as f64);
    format!("| {today} | {cpu} | {ratios} | {p99:.2} ms | {memory} | {size} | {} |", report.machine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::figures::tests::report;

    #[test]
    fn a_row_goes_below_the_last_of_its_table() {
        let text = format!("# P\n\n{SECTION}\n\nHow.\n\n| a |\n|---|\n| 1 |\n\nTried:\n\n| b |\n|---|\n");
        let expected = format!("# P\n\n{SECTION}\n\nHow.\n\n| a |\n|---|\n| 1 |\n| 2 |\n\nTried:\n\n| b |\n|---|\n");
        assert_eq!(with_row(&text, "| 2 |").unwrap(), expected);
        assert_eq!(with_row(&format!("{SECTION}\n\n| a |"), "| 2 |").unwrap(), format!("{SECTION}\n\n| a |\n| 2 |\n"));
    }

    #[test]
    fn another_sections_table_is_left_alone() {
        assert_eq!(with_row(&format!("{SECTION}\n\nHow.\n\n## Other\n\n| a |\n"), "| 2 |"), None);
        assert_eq!(with_row("# P\n\n| a |\n", "| 2 |"), None);
    }

    #[test]
    fn a_row_has_a_cell_for_everybody_also_who_was_not_there() {
        let row = row("2026-01-02", &report());
        assert!(row.starts_with("| 2026-01-02 | 13.0 | 12.0 | 10.0 | – | – | 1.20 | 1.62 | – | "), "{row}");
        assert!(row.ends_with(" | 2 cores, Linux 6.1, load average 0.2 at the start |"), "{row}");
    }
}
