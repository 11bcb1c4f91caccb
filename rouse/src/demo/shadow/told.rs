//! What is told in the terminal: a line now and then, what happens in words, and a table at the end.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use api::admin::{Shadow, Took};
use loadtest::Snapshot;
use loadtest::results::time;
use loadtest::times::Quantiles;

use super::seen::{News, Seen, compared, ended};
use super::story::{BAD, GOOD, Part};
use super::{Run, share_of, small};
use crate::text::wrapped;
use crate::why::{fates, quantiles};

/// The widest line.
const COLUMNS: usize = 78;

/// What begins now.
pub(super) fn heading(part: &Part, file: &Path) -> String {
    let mut text = String::from("\n");
    wrapped(&format!("{}: {}", part.name, part.said), COLUMNS).iter().for_each(|line| writeln(&mut text, line));
    if part.has_shadows {
        let written = format!("{} has a list `shadow` now; the change is in force at once", file.display());
        wrapped(&written, COLUMNS).iter().for_each(|line| writeln(&mut text, line));
        writeln(&mut text, &format!("{:>17}   {GOOD}: copies   alike   {BAD}: copies   alike", "answered"));
    }
    text
}

/// What was told last of a part.
#[derive(Debug, Default)]
pub(super) struct Lines {
    next: Duration,
}

impl Lines {
    /// What happened, and how it stands every two seconds.
    pub(super) fn line(&mut self, elapsed: Duration, load: &Snapshot, news: &[News], seen: &Seen) -> String {
        let mut text = String::new();
        for News { label, text: said, .. } in news {
            wrapped(&format!("{label}. {said}"), COLUMNS - 7)
                .iter()
                .for_each(|line| writeln(&mut text, &format!("       {line}")));
        }
        if self.next <= elapsed {
            self.next = elapsed + Duration::from_secs(2);
            let mut line = format!("{:>4} s {:>10}", elapsed.as_secs(), load.answered);
            for name in [GOOD, BAD] {
                let Some(shadow) = seen.shadow(name) else { continue };
                let alike = share_of(compared(Some(shadow)).and_then(|compared| compared.agreement));
                let _ = write!(line, "{:>19}{alike:>8}", ended(shadow));
            }
            if seen.shadow(GOOD).is_none() {
                line += " answered";
            }
            writeln(&mut text, &line);
        }
        text
    }
}

/// The tables, what they say, and whether everything went as it should.
pub(super) fn summary(runs: &[Run], seen: &Seen) -> (String, bool) {
    let mut text = String::from("\n");
    let [_, alone, with] = runs else { return (text, false) };
    let latency = |run: &Run, quantile: fn(&Quantiles) -> f64| {
        run.results.latency.as_ref().map_or("–".to_owned(), |latency| time(quantile(latency)))
    };
    let well = |run: &Run| run.results.counts.by_status.get("200").copied().unwrap_or(0).to_string();
    row(&mut text, ["clients", "without shadows", "with shadows"]);
    row(&mut text, ["  answered 200", &well(alone), &well(with)]);
    row(&mut text, ["  latency: median", &latency(alone, |q| q.p50_seconds), &latency(with, |q| q.p50_seconds)]);
    row(&mut text, ["  … 99 of 100 within", &latency(alone, |q| q.p99_seconds), &latency(with, |q| q.p99_seconds)]);
    text.push('\n');
    row(&mut text, ["candidates", GOOD, BAD]);
    for (title, of) in ROWS {
        row(&mut text, [title, &of(seen.shadow(GOOD)), &of(seen.shadow(BAD))]);
    }
    let used = compared(seen.shadow(GOOD)).map(|compared| &compared.used_took);
    row(&mut text, ["  … of demo-v1, measured likewise", &quantiles_of(used), ""]);
    text.push('\n');

    let all = runs.iter().all(|run| run.results.all_went_well());
    let agreement = |name: &str| compared(seen.shadow(name)).and_then(|compared| compared.agreement);
    let (good, bad) = (agreement(GOOD), agreement(BAD));
    let differ = good.is_some_and(|good| 0.99 <= good) && bad.is_some_and(|bad| bad <= 0.5);
    let mut said = String::new();
    if differ {
        let rows = compared(seen.shadow(BAD)).map_or((0, 0), |told| (told.rows - told.rows_that_agree, told.rows));
        said += &format!(
            "{GOOD} says what demo-v1 says, within a hundredth: it may take its place. {BAD} does not: its scores are others, \
             and in {} of {} rows another class comes first. Not one client got any of that: each answer was demo-v1's.",
            rows.0, rows.1
        );
    }
    if all {
        said += " Copies go out beside clients' requests, and no answer waits for one; what they share is this machine's \
                 processors.";
    }
    wrapped(&said, COLUMNS).iter().for_each(|line| writeln(&mut text, line));
    if !all {
        writeln(&mut text, "NOT every request was answered 200.");
    }
    if !differ {
        writeln(&mut text, "The candidates did NOT come out as one that agrees and one that does not.");
    }
    (text, all && differ)
}

type Of = fn(Option<&Shadow>) -> String;

const ROWS: [(&str, Of); 7] = [
    ("  copies", |shadow| shadow.map_or("–".to_owned(), |shadow| ended(shadow).to_string())),
    ("  … how they ended", |shadow| shadow.map_or("–".to_owned(), fates)),
    ("  answers alike", |shadow| share_of(compared(shadow).and_then(|compared| compared.agreement))),
    ("  rows with the same largest score", |shadow| {
        #[expect(clippy::cast_precision_loss, reason = "they are few")]
        let part = |(part, whole): (u64, u64)| part as f64 / whole as f64;
        let rows = compared(shadow).filter(|compared| compared.rows != 0);
        share_of(rows.map(|compared| part((compared.rows_that_agree, compared.rows))))
    }),
    ("  largest difference of a score", |shadow| {
        small(compared(shadow).and_then(|compared| compared.largest_difference))
    }),
    ("  … on average", |shadow| small(compared(shadow).and_then(|compared| compared.mean_difference))),
    ("  latency: median, 99 of 100 within", |shadow| {
        quantiles_of(compared(shadow).map(|compared| &compared.shadow_took))
    }),
];

fn quantiles_of(took: Option<&Took>) -> String {
    took.map_or("–".to_owned(), quantiles)
}

fn row(text: &mut String, [title, one, other]: [&str; 3]) {
    writeln(text, &format!("{title:<36}  {one:<19} {other}"));
}

fn writeln(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}
