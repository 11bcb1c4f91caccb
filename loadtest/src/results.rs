//! What came of a load: for programs as JSON (`results.schema.json`), for people as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::engine::{Options, Target};
use crate::executed::{End, Executed};
use crate::scenario::Scenario;
use crate::times::Quantiles;

/// What came of a load.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Results {
    /// The scenario's name.
    pub scenario: String,
    /// Who was asked.
    pub target: String,
    /// What each request's id began with.
    pub run: String,
    /// What arrivals were drawn with.
    pub seed: u64,
    /// From the beginning to the last answer, or until it was stopped.
    pub lasted_seconds: f64,
    /// Was it stopped before its end? Then the figures are of what was due until then.
    pub interrupted: bool,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
    /// From when a request was due to the last byte of its answer; `null` if none was answered.
    pub latency: Option<Quantiles>,
    /// From when it was sent. Shorter only if this program could not keep up.
    pub latency_from_sending: Option<Quantiles>,
    /// From when it was due to the first byte of its answer's body (of its head, if it has none).
    pub first_byte: Option<Quantiles>,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// What the servers say they began; `null` if nobody asked them.
    pub executed: Option<Executed>,
    /// How each request ended, by its number: what servers' logs are held against.
    #[serde(skip)]
    pub ends: Vec<End>,
    /// May a request be begun twice, if a connection ended under it? So with GET, not so with POST.
    #[serde(skip)]
    pub may_repeat: bool,
}

/// How many requests came to which end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Were to be sent.
    pub due: u64,
    /// Have a complete answer.
    pub answered: u64,
    /// Of those, by status.
    pub by_status: BTreeMap<String, u64>,
    /// Of those, answers of Rouse itself, by reason.
    pub refused_by_rouse: BTreeMap<String, u64>,
    /// Have none: `connectFailed`, `cut`, `timedOut`, `notSent`, `interrupted`.
    pub unanswered: BTreeMap<String, u64>,
}

/// One second of a load.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// 0 is the first.
    pub second: usize,
    /// Requests that were due in it.
    pub due: u64,
    /// Requests that were sent in it.
    pub sent: u64,
    /// Answers that ended in it.
    pub answered: u64,
    /// Of those, with 500 or more; and requests that ended in it without an answer.
    pub errors: u64,
    /// The most that were on their way at once.
    pub in_flight: u64,
    /// Median latency of those that were due in it; `null` without an answer.
    pub p50_seconds: Option<f64>,
    /// The same: 99th percentile.
    pub p99_seconds: Option<f64>,
}

impl Results {
    /// Without figures yet.
    pub(crate) fn of(scenario: &Scenario, target: &Target, options: &Options, lasted: Duration) -> Self {
        Self {
            scenario: scenario.name.clone(),
            target: format!("http://{}{}", target.host, target.prefix),
            run: options.run.clone(),
            seed: scenario.seed,
            lasted_seconds: lasted.as_secs_f64(),
            interrupted: false,
            counts: Counts::default(),
            latency: None,
            latency_from_sending: None,
            first_byte: None,
            seconds: Vec::new(),
            executed: None,
            ends: Vec::new(),
            may_repeat: scenario.request.may_repeat(),
        }
    }

    /// Holds it against what servers wrote about which requests they began: their logs, an id in each line.
    pub fn hold_against<'a>(&mut self, logs: impl IntoIterator<Item = &'a str>) {
        self.executed = Some(Executed::read(logs, &self.run, &self.ends, self.may_repeat));
    }

    /// Has every request its answer, each with 2xx?
    pub fn all_went_well(&self) -> bool {
        let well: u64 =
            self.counts.by_status.iter().filter(|(status, _)| status.starts_with('2')).map(|(_, n)| n).sum();
        well == self.counts.due && self.executed.as_ref().is_none_or(Executed::is_right)
    }

    /// Has every request an answer, whatever it says, and do the servers' logs agree with that?
    pub fn nothing_was_lost(&self) -> bool {
        self.counts.unanswered.values().sum::<u64>() == 0 && self.executed.as_ref().is_none_or(Executed::is_right)
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { due, answered, by_status, refused_by_rouse, unanswered } = &self.counts;
        let rate = *due as f64 / self.lasted_seconds.max(f64::EPSILON);
        let stopped = if self.interrupted { ", interrupted" } else { "" };
        let Self { scenario, target, lasted_seconds, seed, .. } = self;
        writeln!(f, "{scenario} at {target}, {lasted_seconds:.1} s, seed {seed}{stopped}\n")?;
        let without: u64 = unanswered.values().sum();
        for (what, count, more) in [
            ("due", due, format!("{rate:.1} a second")),
            ("answered", answered, listed(by_status)),
            ("unanswered", &without, listed(unanswered)),
        ] {
            writeln!(f, "{}", format!("  {what:<10} {count:>9}   {more}").trim_end())?;
        }
        if !refused_by_rouse.is_empty() {
            writeln!(f, "  refused by Rouse       {}", listed(refused_by_rouse))?;
        }
        if let Some(executed) = &self.executed {
            writeln!(f, "{executed}")?;
        }
        writeln!(f, "\n{:<28}{:>10}{:>10}{:>10}{:>10}{:>10}", "", "p50", "p90", "p99", "p99.9", "longest")?;
        for (what, quantiles) in [
            ("latency, from when due", self.latency),
            ("latency, from when sent", self.latency_from_sending),
            ("first byte, from when due", self.first_byte),
        ] {
            write!(f, "{what:<28}")?;
            match quantiles {
                Some(Quantiles { p50_seconds, p90_seconds, p99_seconds, p999_seconds, max_seconds }) => {
                    for seconds in [p50_seconds, p90_seconds, p99_seconds, p999_seconds, max_seconds] {
                        write!(f, "{:>10}", time(seconds))?;
                    }
                    writeln!(f)?;
                }
                None => writeln!(f, "{:>10}", "–")?,
            }
        }
        Ok(())
    }
}

fn listed(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(what, count)| format!("{what}: {count}")).collect::<Vec<_>>().join(", ")
}

/// With three digits, in the unit that suits.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 0.0995 => format!("{:.1} ms", s * 1e3),
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s if s < 99.95 => format!("{s:.1} s"),
        s => format!("{s:.0} s"),
    }
}
