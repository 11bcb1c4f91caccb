//! The same as a page: load, copies, agreement and clients' latency over one axis; and where answers differ.

use std::time::Duration;

use jiff::Timestamp;
use loadtest::results::{Second, time};
use page::{Fact, Kind, Line, Mark, Plot, Report, Table, Tone};

use super::seen::{Seen, compared, ended};
use super::story::{BAD, GOOD};
use super::{Run, share_of, small};
use crate::why::{fates, quantiles};

/// Each with its colour.
const CANDIDATES: [(&str, Tone); 2] = [(GOOD, Tone::Ready), (BAD, Tone::Slow)];

/// The page. `begin`: when the load began, as the wall clock had it.
pub(super) fn report(runs: &[Run], seen: &Seen, begin: Timestamp) -> Report {
    // Whole seconds of each part, at their ends.
    let seconds: Vec<(f64, &Second)> = runs
        .iter()
        .flat_map(|run| {
            run.results.seconds.iter().map(|second| (run.began.as_secs_f64() + second.second as f64 + 1.0, second))
        })
        .filter(|(_, second)| second.due != 0)
        .collect();
    let of_load = |of: fn(&Second) -> Option<f64>| seconds.iter().map(|(_, second)| of(second)).collect::<Vec<_>>();
    Report {
        title: "Two candidates in the shadow of a model".to_owned(),
        subtitle: "Drawn by `rouse demo --shadow` from a run on one machine. Each gets a copy of what clients ask, and nobody gets its answers."
            .to_owned(),
        facts: facts(runs, seen),
        plots: vec![
            Plot::new(
                "Requests of clients",
                "/s",
                vec![
                    Line::new("asked", Kind::Area, Tone::Load, of_load(|second| Some(second.due as f64))),
                    Line::new("answered", Kind::Line, Tone::Wanted, of_load(|second| Some(second.answered as f64))),
                ],
            ),
            Plot::new("Copies that ended", "/s", CANDIDATES.map(|(name, tone)| {
                Line::new(name, Kind::Line, tone, copies(seen, name, &seconds))
            }).into()),
            Plot::new("Answers alike, so far", "%", CANDIDATES.map(|(name, tone)| {
                Line::new(name, Kind::Line, tone, agreement(seen, name, &seconds))
            }).into()),
            Plot::new(
                "Latency of clients, from when a request was due",
                "s",
                vec![
                    Line::new("median", Kind::Line, Tone::Median, of_load(|second| second.p50_seconds)),
                    Line::new("99th percentile", Kind::Line, Tone::Slow, of_load(|second| second.p99_seconds)),
                ],
            ),
        ],
        seconds: seconds.iter().map(|(at, _)| *at).collect(),
        marks: seen.news.iter().map(|news| Mark {
            at: news.at.as_secs_f64(),
            label: news.label.clone(),
            text: news.text.clone(),
            tone: if news.label.starts_with(BAD) { Tone::Slow } else { Tone::Wanted },
        }).collect(),
        tables: vec![candidates(seen), differences(seen)],
        made: format!("rouse {}, {}", env!("CARGO_PKG_VERSION"), begin.strftime("%Y-%m-%d %H:%M UTC")),
    }
}

/// In the second before each of these; `None` before there was any.
#[expect(clippy::cast_precision_loss, reason = "they are few")]
fn copies(seen: &Seen, name: &str, seconds: &[(f64, &Second)]) -> Vec<Option<f64>> {
    let at = |second: f64| seen.shadow_at(name, Duration::from_secs_f64(second.max(0.0))).map(ended);
    seconds.iter().map(|(second, _)| Some((at(*second)? - at(*second - 1.0).unwrap_or(0)) as f64)).collect()
}

fn agreement(seen: &Seen, name: &str, seconds: &[(f64, &Second)]) -> Vec<Option<f64>> {
    let at = |second: f64| compared(seen.shadow_at(name, Duration::from_secs_f64(second)))?.agreement;
    seconds.iter().map(|(second, _)| at(*second).map(|agreement| agreement * 100.0)).collect()
}

fn facts(runs: &[Run], seen: &Seen) -> Vec<Fact> {
    let due: u64 = runs.iter().map(|run| run.results.counts.due).sum();
    let well: u64 = runs.iter().filter_map(|run| run.results.counts.by_status.get("200")).sum();
    let mut facts = vec![Fact::new("Requests", due.to_string(), &format!("answered 200: {well}"))];
    for (name, _) in CANDIDATES {
        if let Some(compared) = compared(seen.shadow(name)) {
            let of = format!("of {} answers alike", compared.alike + compared.different);
            facts.push(Fact::new(name, share_of(compared.agreement), &of));
        }
    }
    let p99 = |run: &Run| run.results.latency.as_ref().map_or("–".to_owned(), |latency| time(latency.p99_seconds));
    if let [_, alone, with] = runs {
        facts.push(Fact::new("99th percentile", p99(with), &format!("of clients; without shadows {}", p99(alone))));
    }
    facts
}

fn candidates(seen: &Seen) -> Table {
    let shadows = CANDIDATES.iter().filter_map(|(name, _)| seen.shadow(name));
    let row = |shadow: &api::admin::Shadow| {
        let compared = compared(Some(shadow));
        vec![
            shadow.name.clone(),
            fates(shadow),
            share_of(compared.and_then(|compared| compared.agreement)),
            compared.map_or("–".to_owned(), |compared| format!("{} of {}", compared.rows_that_agree, compared.rows)),
            small(compared.and_then(|compared| compared.largest_difference)),
            small(compared.and_then(|compared| compared.mean_difference)),
            compared.map_or("–".to_owned(), |compared| quantiles(&compared.shadow_took)),
            compared.map_or("–".to_owned(), |compared| quantiles(&compared.used_took)),
        ]
    };
    Table {
        title: "Candidates".to_owned(),
        head: [
            "name",
            "copies",
            "alike",
            "same largest score",
            "largest difference",
            "on average",
            "took: median, 99th",
            "clients' took",
        ]
        .map(str::to_owned)
        .into(),
        rows: shadows.map(row).collect(),
    }
}

/// In one line, however narrow the page is.
fn unbroken(text: &str) -> String {
    text.replace(' ', "\u{a0}")
}

/// The last that were not alike.
fn differences(seen: &Seen) -> Table {
    let mut rows = Vec::new();
    for (name, _) in CANDIDATES {
        let kept = compared(seen.shadow(name)).map_or(&[][..], |compared| &compared.disagreements);
        rows.extend(kept.iter().rev().take(12).map(|one| {
            vec![
                name.to_owned(),
                one.request_id.clone(),
                unbroken(&format!("{}, {}", one.used_status, one.shadow_status)),
                unbroken(&format!("{}, {}", time(one.used_seconds), time(one.shadow_seconds))),
                one.differences.iter().map(|one| unbroken(one)).collect::<Vec<_>>().join("; "),
            ]
        }));
    }
    Table {
        title: "The last that were not alike: the client's status and time first, then the candidate's".to_owned(),
        head: ["candidate", "request", "statuses", "took", "where they differ"].map(str::to_owned).into(),
        rows,
    }
}
