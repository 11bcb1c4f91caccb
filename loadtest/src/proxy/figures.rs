//! Medians and ratios: what came of all rounds.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::proxy::Plan;
use crate::proxy::budgets::{Budget, budgets};
use crate::proxy::machine::Machine;
use crate::proxy::memory::{self, Memory};
use crate::proxy::peers::Kind;
use crate::proxy::scenes::{Part, SCENES};

/// One peer in one round. Times in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Processor time a request.
    pub(crate) cpu: f64,
    pub(crate) requests_per_second: f64,
    /// Median and 99th percentile of the latency, without those of a request that goes straight to the model.
    pub(crate) added: Option<(f64, f64)>,
    pub(crate) idle_bytes: u64,
    pub(crate) loaded_bytes: u64,
}

/// By scene and peer, in the order of the rounds.
pub(crate) type Samples = BTreeMap<&'static str, BTreeMap<Kind, Vec<Sample>>>;

/// Of all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
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

/// What came of one peer in one scene.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) added_p50_seconds: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) added_p99_seconds: Option<Spread>,
    pub(crate) idle_bytes: f64,
    pub(crate) loaded_bytes: f64,
}

impl Figures {
    /// `None` if it was never measured.
    fn of(kind: Kind, scene: &BTreeMap<Kind, Vec<Sample>>) -> Option<Self> {
        let rounds = scene.get(&kind)?;
        let of = |what: fn(&Sample) -> f64| Spread::of(rounds.iter().map(what));
        let to = |other: Kind| ratio(rounds, scene.get(&other).filter(|_| other != kind));
        let added = |what: fn((f64, f64)) -> f64| Spread::of(rounds.iter().filter_map(|sample| sample.added.map(what)));
        Some(Self {
            name: kind.name(),
            cpu_seconds: of(|sample| sample.cpu)?,
            to_bare: to(Kind::Bare),
            to_nginx: to(Kind::Nginx),
            to_haproxy: to(Kind::Haproxy),
            to_other: kind.other_build().and_then(to),
            requests_per_second: of(|sample| sample.requests_per_second)?.median,
            added_p50_seconds: added(|(p50, _)| p50),
            added_p99_seconds: added(|(_, p99)| p99),
            idle_bytes: of(|sample| sample.idle_bytes as f64)?.median,
            loaded_bytes: of(|sample| sample.loaded_bytes as f64)?.median,
        })
    }
}

/// What came of one scene.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SceneFigures {
    pub(crate) part: Part,
    pub(crate) name: &'static str,
    pub(crate) connections: usize,
    /// To each peer in each round.
    pub(crate) requests: u64,
    pub(crate) peers: BTreeMap<Kind, Figures>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) took_seconds: f64,
    pub(crate) scenes: Vec<SceneFigures>,
    pub(crate) memory: BTreeMap<Kind, Memory>,
    pub(crate) binary_bytes: BTreeMap<Kind, u64>,
    pub(crate) budgets: Vec<Budget>,
    /// Who is not in it, and why.
    pub(crate) left_out: Vec<String>,
}

impl Report {
    pub(crate) fn new(
        machine: Machine,
        plan: &Plan,
        took: Duration,
        left_out: Vec<String>,
        samples: &Samples,
        memory: &memory::Samples,
        binary_bytes: BTreeMap<Kind, u64>,
    ) -> Self {
        let scenes = SCENES.iter().filter_map(|scene| {
            let of_all = samples.get(scene.name)?;
            let peers = of_all.keys().filter_map(|kind| Some((*kind, Figures::of(*kind, of_all)?))).collect();
            Some(SceneFigures {
                part: scene.part,
                name: scene.name,
                connections: scene.connections,
                requests: scene.requests(plan.requests),
                peers,
            })
        });
        let mut report = Self {
            machine,
            rounds: plan.rounds,
            took_seconds: took.as_secs_f64(),
            scenes: scenes.collect(),
            memory: memory.iter().filter_map(|(kind, rounds)| Some((*kind, Memory::of(*kind, rounds)?))).collect(),
            binary_bytes,
            budgets: Vec::new(),
            left_out,
        };
        report.budgets = budgets(&report);
        report
    }

    /// A peer's figures in a scene, if both were measured.
    pub(crate) fn get(&self, scene: &str, kind: Kind) -> Option<&Figures> {
        self.scenes.iter().find(|of| of.name == scene)?.peers.get(&kind)
    }
}

pub(crate) fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::proxy::scenes::{ACTIVATOR, SIDECAR};

    fn rounds(cpu_us: &[f64]) -> Vec<Sample> {
        cpu_us.iter().map(|us| Sample { cpu: us * 1e-6, ..Sample::default() }).collect()
    }

    /// Three rounds, of which the second was slow for all.
    pub(crate) fn report() -> Report {
        let machine = Machine {
            at: "2026-01-02T03:04:05Z".to_owned(),
            cores: 2,
            kernel: "6.1".to_owned(),
            load_average: 0.25,
            versions: vec!["nginx 1.2".to_owned()],
        };
        let paced = Duration::ZERO;
        let plan = Plan { parts: Part::ALL.to_vec(), rounds: 3, requests: 1000, paced, h2load: None };
        let sidecar = BTreeMap::from([
            (Kind::QueueProxy, rounds(&[12.0, 30.0, 13.0])),
            (Kind::Bare, rounds(&[10.0, 25.0, 12.0])),
            (Kind::Nginx, rounds(&[10.0, 15.0, 8.0])),
        ]);
        let activator = BTreeMap::from([
            (Kind::Activator, rounds(&[20.0, 40.0, 20.0])),
            (Kind::OtherActivator, rounds(&[10.0, 20.0, 10.0])),
            (Kind::Nginx, rounds(&[10.0, 20.0, 10.0])),
        ]);
        let samples = Samples::from([(SIDECAR, sidecar), (ACTIVATOR, activator)]);
        let left_out = vec!["HAProxy: not here".to_owned()];
        let sizes = BTreeMap::from([(Kind::QueueProxy, 3 << 20)]);
        Report::new(machine, &plan, Duration::from_secs(90), left_out, &samples, &memory::Samples::new(), sizes)
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
        let ours = report.get(SIDECAR, Kind::QueueProxy).unwrap();
        let close = |ratio: Option<Spread>, wanted: f64| (ratio.unwrap().median - wanted).abs() < 1e-9;
        assert!(close(ours.to_bare, 1.2), "{:?}", ours.to_bare);
        assert!(close(ours.to_nginx, 1.625), "{:?}", ours.to_nginx);
        assert_eq!((ours.to_haproxy, report.get(SIDECAR, Kind::Nginx).unwrap().to_nginx), (None, None));
    }

    #[test]
    fn each_is_compared_with_another_build_of_itself_and_not_of_another() {
        let report = report();
        let activator = report.get(ACTIVATOR, Kind::Activator).unwrap();
        assert_eq!(activator.to_other.map(|ratio| ratio.median), Some(2.0));
        assert_eq!(report.get(SIDECAR, Kind::QueueProxy).unwrap().to_other, None);
    }

    #[test]
    fn programs_read_seconds_and_bytes() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["machine"]["at"], "2026-01-02T03:04:05Z");
        assert_eq!(json["scenes"][0]["name"], "64 connections");
        assert_eq!(json["scenes"][0]["peers"]["queueProxy"]["cpuSeconds"]["min"], 12e-6);
        assert_eq!(json["scenes"][1]["part"], "activator");
        assert_eq!(json["binaryBytes"]["queueProxy"], 3 << 20);
        assert_eq!(json["budgets"][0]["kept"], false);
    }
}
