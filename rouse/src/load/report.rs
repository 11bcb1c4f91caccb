//! A load as a page: what was due and answered, how long it took, and the replicas meanwhile.

use jiff::Timestamp;
use loadtest::Results;
use loadtest::results::{Second, time};
use page::{Fact, Kind, Line, Mark, Plot, Report, Table, Tone};

use super::beside::Beside;

/// The page. `begin`: when the load began, as the wall clock had it.
pub(super) fn report(about: &str, results: &Results, beside: &[Beside], begin: Timestamp) -> Report {
    let column = |of: fn(&Second) -> Option<f64>| results.seconds.iter().map(of).collect::<Vec<_>>();
    let seconds: Vec<f64> = results.seconds.iter().map(|second| second.second as f64).collect();
    let mut plots = vec![
        Plot::new(
            "Requests",
            "/s",
            vec![
                Line::new("due", Kind::Area, Tone::Load, column(|second| Some(second.due as f64))),
                Line::new("answered", Kind::Line, Tone::Ready, column(|second| Some(second.answered as f64))),
                Line::new("errors", Kind::Line, Tone::Error, column(|second| Some(second.errors as f64))),
            ],
        ),
        Plot::new(
            "On their way, at most",
            "",
            vec![Line::new("in flight", Kind::Area, Tone::Load, column(|second| Some(second.in_flight as f64)))],
        ),
        latency(column),
    ];
    let replicas = beside.iter().map(|revision| {
        let counted = |of| revision.at_ends(&seconds, of);
        let lines = vec![
            Line::new("ready", Kind::Steparea, Tone::Ready, counted(|point| Some(point.ready_replicas.into()))),
            Line::new("starting", Kind::Step, Tone::Held, counted(|point| Some(point.starting_replicas.into()))),
            Line::new("wanted", Kind::Dashed, Tone::Wanted, counted(|point| point.desired_replicas.map(f64::from))),
        ];
        Plot::new(&format!("Replicas of {}", revision.name), "", lines)
    });
    // Below what they answer to.
    plots.splice(2..2, replicas);
    let marks = beside.iter().flat_map(|revision| {
        let name = if beside.len() == 1 { String::new() } else { format!("{}: ", revision.name) };
        revision.decisions.iter().map(move |(at, decision)| {
            let mark = crate::demo::mark(decision, *at);
            Mark { label: format!("{name}{}", mark.label), ..mark }
        })
    });
    Report {
        title: about.to_owned(),
        subtitle: format!(
            "{} at {}, sent when due, whether or not others were answered.",
            results.scenario, results.target
        ),
        facts: facts(results),
        seconds,
        plots,
        marks: marks.collect(),
        tables: vec![latencies(results), ends(results)],
        made: made(results, begin),
    }
}

/// How long answers took: `column` has what is asked of each second of a load, where it stands on the page's axis.
pub(crate) fn latency(column: impl Fn(fn(&Second) -> Option<f64>) -> Vec<Option<f64>>) -> Plot {
    Plot::new(
        "Latency, from when a request was due",
        "s",
        vec![
            Line::new("median", Kind::Line, Tone::Median, column(|second| second.p50_seconds)),
            Line::new("99th percentile", Kind::Line, Tone::Slow, column(|second| second.p99_seconds)),
        ],
    )
}

/// What a page says of its making: `begin` is when the load began, as the wall clock had it.
pub(crate) fn made(results: &Results, begin: Timestamp) -> String {
    format!("rouse {}, seed {}, {}", env!("CARGO_PKG_VERSION"), results.seed, begin.strftime("%Y-%m-%d %H:%M UTC"))
}

fn facts(results: &Results) -> Vec<Fact> {
    let counts = &results.counts;
    let mut facts = vec![
        Fact::new("Requests", counts.due.to_string(), &format!("in {}", time(results.lasted_seconds))),
        Fact::new("Answered", counts.answered.to_string(), "completely, whatever the answer says"),
    ];
    if let Some(latency) = &results.latency {
        facts.push(Fact::new("Median latency", time(latency.p50_seconds), "from when a request was due"));
        facts.push(Fact::new("99th percentile", time(latency.p99_seconds), "one in a hundred took longer"));
        facts.push(Fact::new("Longest", time(latency.max_seconds), "of all"));
    }
    if let Some(executed) = &results.executed {
        facts.push(Fact::new("Lost", executed.lost.to_string(), "no answer, or one of nobody who began it"));
        facts.push(Fact::new("Duplicated", executed.duplicated.to_string(), "begun twice, where that is not allowed"));
    }
    facts
}

fn latencies(results: &Results) -> Table {
    let rows = [
        ("from when due to the last byte", results.latency),
        ("from when sent to the last byte", results.latency_from_sending),
        ("from when due to the first byte", results.first_byte),
    ];
    let row = |(what, quantiles): (&str, Option<loadtest::times::Quantiles>)| {
        let quantiles = quantiles?;
        let times = [
            quantiles.p50_seconds,
            quantiles.p90_seconds,
            quantiles.p99_seconds,
            quantiles.p999_seconds,
            quantiles.max_seconds,
        ];
        Some(std::iter::once(what.to_owned()).chain(times.map(time)).collect())
    };
    Table {
        title: "Latency".to_owned(),
        head: ["", "p50", "p90", "p99", "p99.9", "longest"].map(str::to_owned).into(),
        rows: rows.into_iter().filter_map(row).collect(),
    }
}

fn ends(results: &Results) -> Table {
    let counts = &results.counts;
    let of = |what: &str, counted: &std::collections::BTreeMap<String, u64>| {
        counted.iter().map(|(kind, count)| vec![format!("{what}{kind}"), count.to_string()]).collect::<Vec<_>>()
    };
    let kinds = [
        of("status ", &counts.by_status),
        of("refused by Rouse: ", &counts.refused_by_rouse),
        of("no answer: ", &counts.unanswered),
    ];
    Table {
        title: "How requests ended".to_owned(),
        head: ["how", "requests"].map(str::to_owned).into(),
        rows: kinds.concat(),
    }
}

#[cfg(test)]
mod tests {
    use api::admin::{Mode, Point};

    use super::*;

    fn point(ready: u32) -> Point {
        Point {
            at: String::new(),
            requests_per_second: None,
            answers_per_second: None,
            errors_per_second: None,
            refusals_per_second: None,
            p50_seconds: None,
            p99_seconds: None,
            in_flight: None,
            held: None,
            stable: None,
            panic: None,
            target: None,
            mode: Mode::Stable,
            desired_replicas: None,
            ready_replicas: ready,
            starting_replicas: 0,
        }
    }

    #[test]
    fn replicas_stand_at_the_second_that_they_ended_and_leave_gaps() {
        let points = vec![(0.4, point(0)), (1.4, point(1)), (2.4, point(3)), (6.4, point(2))];
        let beside = Beside { name: "m".to_owned(), points, decisions: Vec::new() };
        let ready = beside.at_ends(&[0.0, 1.0, 2.0, 3.0, 6.0], |point| Some(point.ready_replicas.into()));
        assert_eq!(ready, [Some(0.0), Some(1.0), Some(3.0), None, Some(2.0)]);
    }
}
