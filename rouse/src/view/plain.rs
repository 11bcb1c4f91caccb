//! The same in lines, for a pipe, a file, or a terminal that cannot be drawn on.

use std::fmt::Write as _;

use loadtest::results::time;

use super::{Model, Row};
use crate::find::full;

/// A line for each row: when, what is asked, what is there, and why.
pub(crate) fn plain_lines(model: &Model) -> String {
    let name = |row: &Row| full(&row.revision.namespace, &row.revision.name);
    let widest = model.rows.iter().map(|row| name(row).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in &model.rows {
        let now = row.now();
        let at = now.and_then(|point| point.at.get(11..19)).unwrap_or("--:--:--");
        let rate = now.and_then(|point| point.requests_per_second).map_or("-".to_owned(), |rate| format!("{rate:.1}"));
        let count = |count: Option<u32>| count.map_or("-".to_owned(), |count| count.to_string());
        let (here, held) = now.map_or((None, None), |point| (point.in_flight, point.held));
        let p99 = row.latency().1.map_or("-".to_owned(), time);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{at} {:<widest$} {:>6}/s {:>4} here {:>4} held  {:<7} p99 {:<7} {}",
            name(row),
            rate,
            count(here),
            count(held),
            row.replicas(),
            p99,
            row.revision.because.as_deref().unwrap_or("-"),
        );
    }
    // What comes over a socket is not allowed to steer a terminal.
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}
