//! A demonstration as a page: load, replicas and latency over one axis, and why each decision was taken.

use api::admin::{Decision, Mode, Point, Wake};
use jiff::Timestamp;
use loadtest::Results;
use loadtest::results::time;
use page::{Fact, Kind, Line, Mark, Plot, Report, Table, Tone};

use super::story::Course;
use super::watch::Seen;
use crate::load::report::{latency, made};

/// The page. `begin`: when the load began, as the wall clock had it.
pub(super) fn report(results: &Results, course: Course, seen: &Seen, begin: Timestamp) -> Report {
    let since =
        |at: &str| at.parse().map_or(0.0, |at: Timestamp| (at - begin).total(jiff::Unit::Second).unwrap_or(0.0));
    let points: Vec<&Point> = seen.points.iter().filter(|point| 0.0 <= since(&point.at)).collect();
    let column = |of: fn(&Point) -> Option<f64>| points.iter().map(|point| of(point)).collect::<Vec<_>>();
    let count = |of: Option<u32>| of.map(f64::from);
    let seconds: Vec<f64> = points.iter().map(|point| since(&point.at)).collect();
    let times = |of: fn(&loadtest::results::Second) -> Option<f64>| {
        // Of what was due in that second, as the client saw it: a second ends at its point.
        let at = |second: &f64| results.seconds.get((*second - 1.0).max(0.0).round() as usize).and_then(of);
        seconds.iter().map(at).collect::<Vec<_>>()
    };
    Report {
        title: "A model wakes, grows, shrinks and sleeps".to_owned(),
        subtitle: "Drawn by `rouse demo` from a run on one machine. Each mark is a decision; it tells why when it is pointed at."
            .to_owned(),
        facts: facts(results, course, seen),
        plots: vec![
            Plot::new(
                "Requests",
                "/s",
                vec![
                    Line::new("asked", Kind::Area, Tone::Load, column(|point| point.requests_per_second)),
                    Line::new("answered", Kind::Line, Tone::Ready, column(|point| point.answers_per_second)),
                ],
            ),
            Plot::new(
                "Requests at once",
                "",
                vec![
                    Line::new("here", Kind::Area, Tone::Load, column(|point| point.in_flight.map(f64::from))),
                    Line::new("of these, held", Kind::Area, Tone::Held, column(|point| point.held.map(f64::from))),
                ],
            ),
            Plot::new(
                "Replicas",
                "",
                vec![
                    Line::new("ready", Kind::Steparea, Tone::Ready, points.iter().map(|p| count(Some(p.ready_replicas))).collect()),
                    Line::new("starting", Kind::Step, Tone::Held, points.iter().map(|p| count(Some(p.starting_replicas))).collect()),
                    Line::new("wanted", Kind::Dashed, Tone::Wanted, points.iter().map(|p| count(p.desired_replicas)).collect()),
                ],
            ),
            latency(times),
        ],
        seconds,
        marks: seen.decisions.iter().map(|decision| mark(decision, since(&decision.at))).filter(|mark| 0.0 <= mark.at).collect(),
        tables: vec![decisions(&seen.decisions, since), wakes(&seen.wakes, since)],
        made: made(results, begin),
    }
}

fn facts(results: &Results, course: Course, seen: &Seen) -> Vec<Fact> {
    let well = results.counts.by_status.get("200").copied().unwrap_or(0);
    let mut facts = vec![
        Fact::new("Requests", results.counts.due.to_string(), &format!("answered 200: {well}")),
        Fact::new(
            "Replicas",
            format!("{} → {} → {}", u32::from(!course.began_at_zero), course.most, u32::from(!course.ended_at_zero)),
            "at the beginning, at most, at the end",
        ),
    ];
    if let Some(ready) = seen.wakes.iter().rev().find_map(|wake| wake.ready_seconds) {
        facts.push(Fact::new(
            "Wake",
            time(ready),
            "from the first request to a ready replica; 0.7 s of it the model loads",
        ));
    }
    if let Some(latency) = &results.latency {
        facts.push(Fact::new("Median latency", time(latency.p50_seconds), "the model itself takes 0.2 s"));
        facts.push(Fact::new("Longest", time(latency.max_seconds), "held, until a replica had room"));
    }
    facts
}

/// A decision as a mark at `at` seconds.
pub(crate) fn mark(decision: &Decision, at: f64) -> Mark {
    let wants = decision.want.map_or(String::new(), |want| format!(", wants {want}"));
    let demand = match decision.mode {
        Mode::Panic => decision.panic,
        Mode::Stable => decision.stable,
    };
    let seen = demand.map_or(String::new(), |demand| {
        format!(" Demand {demand:.1}, {} held, {} ready.", decision.held_requests, decision.ready_replicas)
    });
    Mark {
        at,
        label: format!("{}{wants}", decision.because),
        text: format!("{}{seen}", decision.sentence),
        tone: if decision.mode == Mode::Panic { Tone::Slow } else { Tone::Wanted },
    }
}

fn decisions(decisions: &[Decision], since: impl Fn(&str) -> f64) -> Table {
    let number = |number: Option<f64>| number.map_or("–".to_owned(), |number| format!("{number:.1}"));
    let row = |decision: &Decision| {
        vec![
            format!("{:.1} s", since(&decision.at)),
            decision.want.map_or("–".to_owned(), |want| want.to_string()),
            decision.because.clone(),
            decision.sentence.clone(),
            number(decision.stable),
            number(decision.panic),
            decision.held_requests.to_string(),
            decision.ready_replicas.to_string(),
        ]
    };
    Table {
        title: "Decisions".to_owned(),
        head: ["at", "wants", "why", "what that means", "stable", "panic", "held", "ready"].map(str::to_owned).into(),
        rows: decisions.iter().filter(|decision| 0.0 <= since(&decision.at)).map(row).collect(),
    }
}

fn wakes(wakes: &[Wake], since: impl Fn(&str) -> f64) -> Table {
    let phase = |seconds: Option<f64>| seconds.map_or("–".to_owned(), time);
    let row = |wake: &Wake| {
        vec![
            format!("{:.1} s", since(&wake.at)),
            wake.request_id.clone().unwrap_or_else(|| "–".to_owned()),
            wake.held_requests.to_string(),
            phase(wake.ordered_seconds),
            phase(wake.started_seconds),
            phase(wake.ready_seconds),
            wake.outcome.clone().unwrap_or_else(|| "under way".to_owned()),
        ]
    };
    Table {
        title: "Wakes".to_owned(),
        head: ["at", "request", "held", "ordered after", "started after", "ready after", "outcome"]
            .map(str::to_owned)
            .into(),
        rows: wakes.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_marked_with_its_reason_and_what_was_seen() {
        let decision = super::super::fixture::decision("panicking", Mode::Panic);
        let mark = mark(&decision, 3.0);
        assert_eq!(mark.label, "panicking, wants 5");
        assert_eq!(
            mark.text,
            "A burst: the average over the short panic window asks for this many. Demand 17.2, 3 held, 2 ready."
        );
        assert_eq!(mark.tone, Tone::Slow);
    }
}
