//! A canary as a page: who answered how much, and how many replicas each version had, over one axis.

use api::admin::{Point, Series};
use jiff::Timestamp;
use loadtest::Results;
use loadtest::results::time;
use page::{Fact, Kind, Line, Mark, Plot, Report, Table, Tone};

use super::Seen;
use super::shares::Counted;
use crate::load::report::{latency, made};

/// The page. `begin`: when the load began, as the wall clock had it.
pub(super) fn report(results: &Results, counted: &[Counted], seen: &Seen, begin: Timestamp) -> Report {
    let since =
        |at: &str| at.parse().map_or(-1.0, |at: Timestamp| (at - begin).total(jiff::Unit::Second).unwrap_or(-1.0));
    let lasts = results.lasted_seconds.ceil() as usize;
    // A point tells of the second that ends at it. Both revisions on one axis, whatever each has no point for.
    let by_second = |series: &Series| -> Vec<Option<Point>> {
        let mut points = vec![None; lasts + 1];
        for point in &series.points {
            let at = since(&point.at).round();
            if 0.0 <= at
                && let Some(place) = points.get_mut(at as usize)
            {
                *place = Some(point.clone());
            }
        }
        points
    };
    let (of_v1, of_v2) = (by_second(&seen.of_v1), by_second(&seen.of_v2));
    let column = |points: &[Option<Point>], of: fn(&Point) -> Option<f64>| -> Vec<Option<f64>> {
        points.iter().map(|point| point.as_ref().and_then(of)).collect()
    };
    let answers = |points: &[Option<Point>]| column(points, |point| point.answers_per_second);
    let (answers_v1, answers_v2) = (answers(&of_v1), answers(&of_v2));
    let share = |(v1, v2): (&Option<f64>, &Option<f64>)| {
        let (v1, v2) = (v1.unwrap_or(0.0), v2.unwrap_or(0.0));
        (0.0 < v1 + v2).then(|| 100.0 * v2 / (v1 + v2))
    };
    let counted_share = answers_v1.iter().zip(&answers_v2).map(share).collect();
    let seconds: Vec<f64> = (0..=lasts).map(|second| second as f64).collect();
    let asked = |second: &f64| {
        let step = counted.iter().rev().find(|one| one.step.from.as_secs_f64() <= *second);
        step.or(counted.first()).map(|one| f64::from(one.step.percent))
    };
    let times = |of: fn(&loadtest::results::Second) -> Option<f64>| {
        let at = |second: &f64| results.seconds.get((*second - 1.0).max(0.0) as usize).and_then(of);
        seconds.iter().map(at).collect::<Vec<_>>()
    };
    let ready = |points: &[Option<Point>]| column(points, |point| Some(f64::from(point.ready_replicas)));
    Report {
        title: "A canary: shares moved while load runs".to_owned(),
        subtitle:
            "Drawn by `rouse demo --canary` from a run on one machine. Each mark is a split that came into force."
                .to_owned(),
        facts: facts(results, counted, seen),
        plots: vec![
            Plot::new(
                "Share of v2",
                "%",
                vec![
                    Line::new("answered by it", Kind::Area, Tone::Ready, counted_share),
                    Line::new("asked for", Kind::Dashed, Tone::Wanted, seconds.iter().map(asked).collect()),
                ],
            ),
            Plot::new(
                "Answers",
                "/s",
                vec![
                    Line::new("of v1", Kind::Line, Tone::Load, answers_v1),
                    Line::new("of v2", Kind::Line, Tone::Ready, answers_v2),
                ],
            ),
            Plot::new(
                "Ready replicas",
                "",
                vec![
                    Line::new("of v1", Kind::Step, Tone::Load, ready(&of_v1)),
                    Line::new("of v2", Kind::Step, Tone::Ready, ready(&of_v2)),
                ],
            ),
            latency(times),
        ],
        seconds,
        marks: counted.iter().map(mark).collect(),
        tables: vec![steps(counted)],
        made: made(results, begin),
    }
}

fn facts(results: &Results, counted: &[Counted], seen: &Seen) -> Vec<Fact> {
    let well = results.counts.by_status.get("200").copied().unwrap_or(0);
    let splits: Vec<String> = counted.iter().map(|one| one.step.percent.to_string()).collect();
    let mut facts = vec![
        Fact::new("Requests", results.counts.due.to_string(), &format!("answered 200: {well}")),
        Fact::new("Percent of v2", splits.join(" → "), "as asked for, one after the other"),
    ];
    if let Some(ready) = seen.wakes.wakes.iter().find_map(|wake| wake.ready_seconds) {
        facts.push(Fact::new(
            "Wake of v2",
            time(ready),
            "from its first request to a ready replica; 0.7 s of it the model loads",
        ));
    }
    if let Some(latency) = &results.latency {
        facts.push(Fact::new("Median latency", time(latency.p50_seconds), "v1 itself takes 0.1 s, v2 0.08 s"));
    }
    facts
}

fn mark(one: &Counted) -> Mark {
    let percent = one.step.percent;
    let by = if one.step.by_person { "a person" } else { "the demonstration" };
    let share = one.percent().map_or("nothing".to_owned(), |percent| format!("{percent:.2} %"));
    Mark {
        at: one.step.from.as_secs_f64(),
        label: format!("{} / {percent}", 100 - percent),
        text: format!("In force from here, written by {by}. Counted: {share} of v2."),
        tone: Tone::Wanted,
    }
}

fn steps(counted: &[Counted]) -> Table {
    let row = |one: &Counted| {
        vec![
            format!("{} %", one.step.percent),
            one.percent().map_or("–".to_owned(), |percent| format!("{percent:.2} %")),
            one.of_v1.to_string(),
            one.of_v2.to_string(),
            format!("{:.1} s", one.step.from.as_secs_f64()),
            format!("{:.1} s", one.step.to.as_secs_f64()),
            one.step.unsure.to_string(),
            if one.step.by_person { "a person" } else { "the demonstration" }.to_owned(),
        ]
    };
    Table {
        title: "Shares of v2".to_owned(),
        head: ["asked for", "counted", "v1", "v2", "from", "to", "on their way at its ends", "by"]
            .map(str::to_owned)
            .into(),
        rows: counted.iter().map(row).collect(),
    }
}
