//! What came of a demonstration, as a table.

use std::fmt::Write as _;

use loadtest::Results;
use loadtest::results::time;

use super::story::Course;
use super::watch::Seen;

/// The table, and whether everything went as it should.
pub(super) fn summary(results: &Results, course: Course, seen: &Seen) -> (String, bool) {
    let well = results.counts.by_status.get("200").copied().unwrap_or(0);
    let due = results.counts.due;
    let latency = |quantile: fn(&loadtest::times::Quantiles) -> f64| {
        results.latency.as_ref().map_or("–".to_owned(), |latency| time(quantile(latency)))
    };
    let wake = seen.wakes.iter().rev().find_map(|wake| wake.ready_seconds).map_or("–".to_owned(), time);
    let begin = if course.began_at_zero { "0" } else { "not 0" };
    let end = if course.ended_at_zero { "0" } else { "not 0" };
    let rows = [
        ("requests", format!("{due}, answered 200: {well}")),
        ("replicas", format!("{begin} → {} → {end}", course.most)),
        ("from the first request to a ready replica", wake),
        ("latency, as a client saw it: median", latency(|q| q.p50_seconds)),
        ("… 99 of 100 within", latency(|q| q.p99_seconds)),
        ("… the longest", latency(|q| q.max_seconds)),
        ("decisions that said something new", seen.decisions.len().to_string()),
    ];
    let mut text = String::from("\n");
    for (what, value) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {what:<42}  {value}");
    }
    let all = results.all_went_well();
    if !all {
        let _ = writeln!(
            text,
            "\n  NOT every request was answered 200: {:?} {:?}",
            results.counts.by_status, results.counts.unanswered
        );
    }
    if !course.is_whole() {
        let _ = writeln!(text, "\n  The replicas did NOT go from 0 to several and back to 0.");
    }
    (text, all && course.is_whole())
}
