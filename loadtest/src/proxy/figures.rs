//! Medians, ratios, and how they stand to the budgets.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context as _;
use serde::Serialize;

use crate::proxy::{CONNECTIONS, Kind, Plan, RATE};

/// One peer in one round. Times in seconds, and without those of a request that goes straight to the model.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Processor time a request.
    pub(crate) cpu: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) added_p50: f64,
    pub(crate) added_p99: f64,
    pub(crate) idle_bytes: u64,
    pub(crate) loaded_bytes: u64,
}

/// Of all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median: f64::midpoint(below, above), min, max })
    }
}

/// How each round's figure stands to another's of the same round.
fn ratio(of: &[Sample], to: Option<&Vec<Sample>>) -> Option<Spread> {
    Spread::of(of.iter().zip(to?).map(|(of, to)| of.cpu / to.cpu))
}

/// What was measured on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    /// Its first two numbers.
    pub(crate) kernel: String,
    /// Over the minute before.
    pub(crate) load_average: f64,
}

impl Machine {
    pub(crate) fn look() -> anyhow::Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| path.to_owned());
        let release = read("/proc/sys/kernel/osrelease")?;
        let kernel = release.trim().split(['.', '-']).take(2).collect::<Vec<_>>().join(".");
        let load = read("/proc/loadavg")?;
        let load_average = load.split(' ').next().unwrap_or_default().parse().context("/proc/loadavg")?;
        Ok(Self { cores: std::thread::available_parallelism()?.get(), kernel, load_average })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, kernel, load_average } = self;
        write!(f, "{cores} cores, Linux {kernel}, load average {load_average:.1} at the start")
    }
}

/// What came of one peer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) cpu_seconds: Spread,
    /// Medians of the rounds' ratios.
    pub(crate) to_bare: Option<Spread>,
    pub(crate) to_nginx: Option<Spread>,
    pub(crate) to_haproxy: Option<Spread>,
    /// To another build of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to_other: Option<Spread>,
    pub(crate) requests_per_second: f64,
    pub(crate) added_p50_seconds: Spread,
    pub(crate) added_p99_seconds: Spread,
    pub(crate) idle_bytes: f64,
    pub(crate) loaded_bytes: f64,
    pub(crate) binary_bytes: u64,
}

/// What ours may cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Budget {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) measured: f64,
    pub(crate) at_most: f64,
    pub(crate) kept: bool,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) requests: u64,
    pub(crate) peers: BTreeMap<Kind, Figures>,
    pub(crate) budgets: Vec<Budget>,
    /// Who is not in it, and why.
    pub(crate) left_out: Vec<String>,
}

impl Report {
    pub(crate) fn new(
        machine: Machine,
        plan: Plan,
        left_out: Vec<String>,
        samples: &BTreeMap<Kind, Vec<Sample>>,
        sizes: &BTreeMap<Kind, u64>,
    ) -> Self {
        let figures = |(kind, rounds): (&Kind, &Vec<Sample>)| {
            let of = |what: fn(&Sample) -> f64| Spread::of(rounds.iter().map(what));
            let to = |other: Kind| ratio(rounds, samples.get(&other).filter(|_| other != *kind));
            let figures = Figures {
                name: kind.name(),
                cpu_seconds: of(|sample| sample.cpu)?,
                to_bare: to(Kind::Bare),
                to_nginx: to(Kind::Nginx),
                to_haproxy: to(Kind::Haproxy),
                to_other: to(Kind::Other),
                requests_per_second: of(|sample| sample.requests_per_second)?.median,
                added_p50_seconds: of(|sample| sample.added_p50)?,
                added_p99_seconds: of(|sample| sample.added_p99)?,
                idle_bytes: of(|sample| sample.idle_bytes as f64)?.median,
                loaded_bytes: of(|sample| sample.loaded_bytes as f64)?.median,
                binary_bytes: sizes.get(kind).copied().unwrap_or(0),
            };
            Some((*kind, figures))
        };
        let peers: BTreeMap<Kind, Figures> = samples.iter().filter_map(figures).collect();
        let budgets = peers.get(&Kind::QueueProxy).map(budgets).unwrap_or_default();
        Self { machine, rounds: plan.rounds, requests: plan.requests, peers, budgets, left_out }
    }
}

fn budgets(ours: &Figures) -> Vec<Budget> {
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let median = |ratio: Option<Spread>| ratio.map(|ratio| ratio.median);
    let all = [
        ("CPU a request, to a bare hyper proxy", "×", median(ours.to_bare), 1.15),
        ("CPU a request, to nginx", "×", median(ours.to_nginx), 1.5),
        ("p99 added at 1,000 requests/s", "ms", Some(ours.added_p99_seconds.median * 1e3), 0.5),
        ("RssAnon idle", "MiB", Some(mib(ours.idle_bytes)), 4.0),
        ("RssAnon with 64 connections", "MiB", Some(mib(ours.loaded_bytes)), 10.0),
        ("binary, stripped", "MiB", Some(mib(ours.binary_bytes as f64)), 6.0),
    ];
    let budget = |(what, unit, measured, at_most): (_, _, Option<f64>, f64)| {
        let measured = measured?;
        Some(Budget { what, unit, measured, at_most, kept: measured <= at_most })
    };
    all.into_iter().filter_map(budget).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, rounds, requests, .. } = self;
        writeln!(
            f,
            "{rounds} rounds of {requests} requests and of {RATE} a second; {CONNECTIONS} connections, one worker"
        )?;
        writeln!(f, "thread each; medians, CPU with the least and the most of a round. {machine}.\n")?;
        let heads = ["CPU a request", "x bare", "x nginx", "requests/s", "p50 added", "p99 added"];
        write!(f, "{:<22}{:>24}", "", heads[0])?;
        heads[1..].iter().try_for_each(|head| write!(f, "{head:>11}"))?;
        writeln!(f, "{:>20}{:>10}", "RssAnon idle/loaded", "binary")?;
        for figures in self.peers.values() {
            let Spread { median, min, max } = figures.cpu_seconds;
            let cpu = format!("{:.1} us ({:.1}-{:.1})", median * 1e6, min * 1e6, max * 1e6);
            let times = |ratio: Option<Spread>| ratio.map_or("".to_owned(), |ratio| format!("{:.2}", ratio.median));
            let ms = |seconds: f64| format!("{:.3} ms", seconds * 1e3);
            let mib = |bytes: f64| bytes / f64::from(1 << 20);
            let memory = format!("{:.1} / {:.1} MiB", mib(figures.idle_bytes), mib(figures.loaded_bytes));
            write!(f, "{:<22}{cpu:>24}{:>11}", figures.name, times(figures.to_bare))?;
            write!(f, "{:>11}{:>11.0}", times(figures.to_nginx), figures.requests_per_second)?;
            let [p50, p99] = [figures.added_p50_seconds, figures.added_p99_seconds].map(|added| ms(added.median));
            writeln!(f, "{p50:>11}{p99:>11}{memory:>20}{:>6.1} MiB", mib(figures.binary_bytes as f64))?;
        }
        if let Some(ratio) = self.peers.get(&Kind::QueueProxy).and_then(|ours| ours.to_other) {
            let Spread { median, min, max } = ratio;
            writeln!(f, "\nqueue-proxy's CPU is {median:.3} x that of the other build ({min:.3}-{max:.3})")?;
        }
        if !self.budgets.is_empty() {
            writeln!(f, "\nqueue-proxy's budgets:")?;
        }
        for Budget { what, unit, measured, at_most, kept } in &self.budgets {
            let kept = if *kept { "kept" } else { "OVER" };
            writeln!(f, "  {what:<40}{measured:>8.2} {unit:<4} at most {at_most} {unit}: {kept}")?;
        }
        self.left_out.iter().try_for_each(|left_out| writeln!(f, "\nLEFT OUT: {left_out}"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn rounds(cpu_us: &[f64]) -> Vec<Sample> {
        cpu_us.iter().map(|us| Sample { cpu: us * 1e-6, ..Sample::default() }).collect()
    }

    pub(crate) fn report() -> Report {
        let machine = Machine { cores: 2, kernel: "6.1".to_owned(), load_average: 0.25 };
        let plan = Plan { rounds: 3, requests: 1000, paced: std::time::Duration::ZERO };
        let samples = BTreeMap::from([
            (Kind::QueueProxy, rounds(&[12.0, 30.0, 13.0])),
            (Kind::Bare, rounds(&[10.0, 25.0, 12.0])),
            (Kind::Nginx, rounds(&[10.0, 15.0, 8.0])),
        ]);
        Report::new(machine, plan, vec!["HAProxy: not here".to_owned()], &samples, &BTreeMap::new())
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_slow_round_slows_both_and_changes_no_ratio() {
        let report = report();
        let ours = &report.peers[&Kind::QueueProxy];
        let close = |ratio: Option<Spread>, wanted: f64| (ratio.unwrap().median - wanted).abs() < 1e-9;
        assert!(close(ours.to_bare, 1.2), "{:?}", ours.to_bare);
        assert!(close(ours.to_nginx, 1.625), "{:?}", ours.to_nginx);
        assert_eq!((ours.to_haproxy, report.peers[&Kind::Nginx].to_nginx), (None, None));
    }

    #[test]
    fn what_is_over_its_budget_and_who_is_left_out_is_said_aloud() {
        let text = report().to_string();
        assert!(text.contains("at most 1.5 ×: OVER"), "{text}");
        assert!(text.contains("at most 10 MiB: kept"), "{text}");
        assert!(text.contains("LEFT OUT: HAProxy: not here"), "{text}");
    }

    #[test]
    fn programs_read_seconds_and_bytes() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["peers"]["queueProxy"]["cpuSeconds"]["min"], 12e-6);
        assert_eq!(json["budgets"][0]["kept"], false);
    }
}
