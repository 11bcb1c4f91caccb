//! What ours may cost, and whether it costs more. Pure.

use serde::Serialize;

use crate::proxy::figures::{Figures, Report, Spread, mib};
use crate::proxy::peers::Kind;
use crate::proxy::scenes::{ACTIVATOR, SIDECAR};

/// What ours may cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Budget {
    pub(crate) whose: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) measured: f64,
    pub(crate) at_most: f64,
    pub(crate) kept: bool,
    /// Not promised, only aimed at.
    pub(crate) aim: bool,
}

/// Of what was measured; what was not has none.
pub(crate) fn budgets(report: &Report) -> Vec<Budget> {
    let median = |ratio: Option<Spread>| ratio.map(|ratio| ratio.median);
    let sidecar = |what: fn(&Figures) -> Option<f64>| report.get(SIDECAR, Kind::QueueProxy).and_then(what);
    let p99 = |kind, scene| report.get(scene, kind).and_then(|of| median(of.added_p99_seconds)).map(|p99| p99 * 1e3);
    let to_nginx = |kind| report.get(ACTIVATOR, kind).and_then(|of| median(of.to_nginx));
    let size = report.binary_bytes.get(&Kind::QueueProxy).map(|bytes| mib(*bytes as f64));
    let memory = report.memory.get(&Kind::QueueProxy);
    let idle = sidecar(|of| Some(of.idle_bytes)).or(memory.map(|memory| memory.idle_bytes));
    let with_64 = sidecar(|of| Some(of.loaded_bytes)).or(memory.map(|memory| memory.with_64_bytes));
    let sidecar_was_measured = sidecar(|_| Some(0.0)).is_some();
    let [ours, activator, chain] = [Kind::QueueProxy, Kind::Activator, Kind::ActivatorAndSidecar].map(Kind::name);
    let aimed = [
        (ours, "CPU a request, to nginx", "×", sidecar(|of| of.to_nginx.map(|to| to.median)), 1.2),
        (ours, "CPU a request, to HAProxy", "×", sidecar(|of| of.to_haproxy.map(|to| to.median)), 1.0),
    ];
    let promised = [
        (ours, "CPU a request, to a bare hyper proxy", "×", sidecar(|of| of.to_bare.map(|to| to.median)), 1.15),
        (ours, "CPU a request, to nginx", "×", sidecar(|of| of.to_nginx.map(|to| to.median)), 1.5),
        (ours, "p99 added at 1,000 requests/s", "ms", p99(Kind::QueueProxy, SIDECAR), 0.5),
        (ours, "RssAnon idle", "MiB", idle.map(mib), 4.0),
        (ours, "RssAnon with 64 connections", "MiB", with_64.map(mib), 10.0),
        (ours, "binary, stripped", "MiB", size.filter(|_| sidecar_was_measured), 6.0),
        (activator, "CPU a request, to nginx", "×", to_nginx(Kind::Activator), 1.8),
        (chain, "CPU a request, to nginx", "×", to_nginx(Kind::ActivatorAndSidecar), 1.8),
        (activator, "p99 added at 1,000 requests/s", "ms", p99(Kind::Activator, ACTIVATOR), 0.5),
    ];
    let budget = |aim| {
        move |(whose, what, unit, measured, at_most): (_, _, _, Option<f64>, f64)| {
            let measured = measured?;
            Some(Budget { whose, what, unit, measured, at_most, kept: measured <= at_most, aim })
        }
    };
    promised.into_iter().filter_map(budget(false)).chain(aimed.into_iter().filter_map(budget(true))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::figures::tests::report;

    #[test]
    fn a_budget_is_kept_up_to_its_limit() {
        let verdicts = |report: &Report| -> Vec<(&str, f64, bool)> {
            report.budgets.iter().map(|budget| (budget.whose, budget.at_most, budget.kept)).collect()
        };
        let all = verdicts(&report());
        for wanted in [("queue-proxy", 1.15, false), ("queue-proxy", 10.0, true), ("activator", 1.8, false)] {
            assert!(all.contains(&wanted), "{wanted:?} is not in {all:?}");
        }
    }

    #[test]
    fn what_was_not_measured_has_no_verdict() {
        let all = report().budgets;
        assert!(all.iter().all(|budget| budget.whose != "activator to sidecar"), "{all:?}");
        assert!(all.iter().all(|budget| !budget.what.starts_with("p99")), "{all:?}");
    }
}
