//! Every number the autoscaler publishes. If it is not here, it is not published.
//!
//! What is told for each revision is a gauge; counters by reason are for all revisions together, because 8,000
//! revisions times 24 reasons are more series than anyone reads: why one revision scaled is in its ring of decisions.

use std::sync::Arc;

use kpa::Because;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use units::RevisionKey;

use crate::streams::ENDS;

/// States of [`Metrics::replicas`].
const STATES: [&str; 4] = ["desired", "ready", "starting", "leaving"];
/// Windows of [`Metrics::demand`].
const WINDOWS: [&str; 2] = ["stable", "panic"];
/// Outcomes of wakes.
const WAKES: [&str; 3] = ["served", "failed", "abandoned"];
/// Phases of a wake, each from its beginning: the order given, a first replica's process running, a first one ready.
const PHASES: [&str; 3] = ["ordered", "started", "ready"];
/// Outcomes of orders.
const ORDERS: [&str; 6] = ["done", "conflict", "not-leading", "gone", "refused", "unknown"];
/// Outcomes of seals.
const SEALS: [&str; 2] = ["committed", "released"];

/// Classes of requests that replicas cut.
const CUTS: [&str; 3] = ["unary", "streaming", "upgraded"];

/// The numbers of one autoscaler.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    replicas: IntGaugeVec,
    demand: GaugeVec,
    decisions: Vec<IntCounter>,
    wakes: IntCounterVec,
    wake_duration: HistogramVec,
    orders: IntCounterVec,
    seals: IntCounterVec,
    cuts: IntCounterVec,
    streams: IntGaugeVec,
    stream_ends: IntCounterVec,
    unheard: IntCounter,
    leading: IntGauge,
}

/// One of each family that an autoscaler publishes, with made-up labels: what the table in `docs/metrics.md` is made of.
///
/// # Errors
/// Never, while the names are right.
pub fn every_metric() -> prometheus::Result<Vec<prometheus::proto::MetricFamily>> {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry)?;
    let _born = metrics.of_revision(&RevisionKey::new("", ""));
    Ok(registry.gather())
}

impl Metrics {
    /// Makes them and adds them to `registry`.
    ///
    /// # Errors
    /// If one of the names is taken.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let revision = ["namespace", "revision"];
        let of_revision = |further: &'static str| [revision[0], revision[1], further];
        let replicas = IntGaugeVec::new(
            Opts::new("rouse_replicas", "Replicas of a revision: desired, ready, starting, leaving."),
            &of_revision("state"),
        )?;
        let demand = GaugeVec::new(
            Opts::new("rouse_demand", "Demand for a revision in units of its metric, over a window; NaN without data."),
            &of_revision("window"),
        )?;
        let decisions =
            IntCounterVec::new(Opts::new("rouse_decisions_total", "Decisions, by what decided."), &["because"])?;
        let wakes = IntCounterVec::new(Opts::new("rouse_wakes_total", "Wakes that ended, by how."), &["outcome"])?;
        let wake_duration = HistogramVec::new(
            HistogramOpts::new(
                "rouse_wake_duration_seconds",
                "From the first wake heard until replicas were ordered, a first process ran (started), a first one was ready.",
            )
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0]),
            &["phase"],
        )?;
        let orders = IntCounterVec::new(
            Opts::new("rouse_scale_orders_total", "Orders for replicas, by outcome."),
            &["outcome"],
        )?;
        let seals = IntCounterVec::new(Opts::new("rouse_seals_total", "Seals, by how they ended."), &["outcome"])?;
        let cuts = IntCounterVec::new(
            Opts::new(
                "rouse_replica_cuts_total",
                "Requests that sidecars cut as they left, for they had not ended within the limit of their class; told to who leads.",
            ),
            &["class"],
        )?;
        let streams = IntGaugeVec::new(Opts::new("rouse_streams", "Peers that are connected."), &["role"])?;
        let stream_ends =
            IntCounterVec::new(Opts::new("rouse_stream_ends_total", "Streams that ended, by why."), &["reason"])?;
        let unheard = IntCounter::new(
            "rouse_messages_dropped_total",
            "Messages for a revision that is not known here, or has too much to read.",
        )?;
        let leading = IntGauge::new("rouse_leading", "1 while this autoscaler leads.")?;

        registry.register(Box::new(replicas.clone()))?;
        registry.register(Box::new(demand.clone()))?;
        registry.register(Box::new(decisions.clone()))?;
        registry.register(Box::new(wakes.clone()))?;
        registry.register(Box::new(wake_duration.clone()))?;
        registry.register(Box::new(orders.clone()))?;
        registry.register(Box::new(seals.clone()))?;
        registry.register(Box::new(cuts.clone()))?;
        registry.register(Box::new(streams.clone()))?;
        registry.register(Box::new(stream_ends.clone()))?;
        registry.register(Box::new(unheard.clone()))?;
        registry.register(Box::new(leading.clone()))?;

        // A series that is born with its first event hides that event from `rate()`.
        for (counters, words) in [
            (&wakes, &WAKES[..]),
            (&orders, &ORDERS[..]),
            (&seals, &SEALS[..]),
            (&cuts, &CUTS[..]),
            (&stream_ends, ENDS),
        ] {
            for word in words {
                counters.with_label_values(&[word]);
            }
        }
        for phase in PHASES {
            wake_duration.with_label_values(&[phase]);
        }
        for role in ["activator", "sidecar"] {
            streams.with_label_values(&[role]);
        }
        let decisions = Because::ALL.iter().map(|because| decisions.with_label_values(&[because.word()])).collect();
        Ok(Self(Arc::new(Inner {
            replicas,
            demand,
            decisions,
            wakes,
            wake_duration,
            orders,
            seals,
            cuts,
            streams,
            stream_ends,
            unheard,
            leading,
        })))
    }

    pub(crate) fn stream_opened(&self, role: &'static str) {
        self.0.streams.with_label_values(&[role]).inc();
    }

    pub(crate) fn stream_closed(&self, role: &'static str) {
        self.0.streams.with_label_values(&[role]).dec();
    }

    pub(crate) fn stream_ended(&self, reason: &'static str) {
        self.0.stream_ends.with_label_values(&[reason]).inc();
    }

    /// How many have ended so.
    #[cfg(test)]
    pub(crate) fn streams_ended(&self, reason: &str) -> u64 {
        self.0.stream_ends.with_label_values(&[reason]).get()
    }

    pub(crate) fn message_dropped(&self) {
        self.0.unheard.inc();
    }

    pub(crate) fn set_leading(&self, leading: bool) {
        self.0.leading.set(leading.into());
    }

    pub(crate) fn order(&self, outcome: &'static str) {
        self.0.orders.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn seal(&self, outcome: &'static str) {
        self.0.seals.with_label_values(&[outcome]).inc();
    }

    /// So many unary ones, streaming ones and upgraded ones.
    pub(crate) fn were_cut(&self, of_each: [u64; CUTS.len()]) {
        for (class, cut) in CUTS.iter().zip(of_each) {
            self.0.cuts.with_label_values(&[class]).inc_by(cut);
        }
    }

    /// How many of a class were.
    #[cfg(test)]
    pub(crate) fn cuts(&self, class: &str) -> u64 {
        self.0.cuts.with_label_values(&[class]).get()
    }

    pub(crate) fn wake(&self, outcome: &'static str) {
        self.0.wakes.with_label_values(&[outcome]).inc();
    }

    /// Takes the series of a revision away. What its task still publishes goes nowhere.
    pub(crate) fn forget(&self, revision: &RevisionKey) {
        let names = [&*revision.namespace, &*revision.name];
        // An error would mean that they are not there, which is what is wanted.
        for state in STATES {
            let _ = self.0.replicas.remove_label_values(&[names[0], names[1], state]);
        }
        for window in WINDOWS {
            let _ = self.0.demand.remove_label_values(&[names[0], names[1], window]);
        }
    }

    /// The series of one revision, resolved once.
    pub(crate) fn of_revision(&self, revision: &RevisionKey) -> RevisionMetrics {
        let names = [&*revision.namespace, &*revision.name];
        let replicas = STATES.map(|state| self.0.replicas.with_label_values(&[names[0], names[1], state]));
        let demand = WINDOWS.map(|window| self.0.demand.with_label_values(&[names[0], names[1], window]));
        let phases = PHASES.map(|phase| self.0.wake_duration.with_label_values(&[phase]));
        RevisionMetrics { all: self.clone(), replicas, demand, phases }
    }
}

/// The numbers of one revision.
#[derive(Debug)]
pub(crate) struct RevisionMetrics {
    all: Metrics,
    replicas: [IntGauge; STATES.len()],
    demand: [Gauge; WINDOWS.len()],
    phases: [Histogram; PHASES.len()],
}

/// Replicas by state, as published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replicas {
    pub(crate) desired: u32,
    pub(crate) ready: u32,
    pub(crate) starting: u32,
    pub(crate) leaving: u32,
}

impl RevisionMetrics {
    pub(crate) fn all(&self) -> &Metrics {
        &self.all
    }

    pub(crate) fn set_replicas(&self, replicas: Replicas) {
        let Replicas { desired, ready, starting, leaving } = replicas;
        for (gauge, count) in self.replicas.iter().zip([desired, ready, starting, leaving]) {
            gauge.set(count.into());
        }
    }

    pub(crate) fn decided(&self, decision: &kpa::Decision) {
        if let Some(counter) = self.all.0.decisions.get(decision.because as usize) {
            counter.inc();
        }
        let [stable, panic] = &self.demand;
        stable.set(decision.seen.stable.unwrap_or(f64::NAN));
        panic.set(decision.seen.panic.unwrap_or(f64::NAN));
    }

    pub(crate) fn wake_ordered(&self, after: std::time::Duration) {
        self.phases[0].observe(after.as_secs_f64());
    }

    pub(crate) fn wake_started(&self, after: std::time::Duration) {
        self.phases[1].observe(after.as_secs_f64());
    }

    pub(crate) fn wake_ready(&self, after: std::time::Duration) {
        self.phases[2].observe(after.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_names_are_the_documented_ones() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let _revision = metrics.of_revision(&RevisionKey::new("shop", "v1"));
        let names: Vec<String> = registry
            .gather()
            .iter()
            .map(|family| {
                let labels: Vec<&str> =
                    family.get_metric()[0].get_label().iter().map(prometheus::proto::LabelPair::name).collect();
                format!("{}{{{}}}", family.name(), labels.join(","))
            })
            .collect();
        assert_eq!(
            names,
            [
                "rouse_decisions_total{because}",
                "rouse_demand{namespace,revision,window}",
                "rouse_leading{}",
                "rouse_messages_dropped_total{}",
                "rouse_replica_cuts_total{class}",
                "rouse_replicas{namespace,revision,state}",
                "rouse_scale_orders_total{outcome}",
                "rouse_seals_total{outcome}",
                "rouse_stream_ends_total{reason}",
                "rouse_streams{role}",
                "rouse_wake_duration_seconds{phase}",
                "rouse_wakes_total{outcome}",
            ]
        );
    }

    #[test]
    fn every_reason_has_its_own_counter_from_the_start() {
        let registry = Registry::new();
        Metrics::register(&registry).unwrap();
        let families = registry.gather();
        let decisions = families.iter().find(|family| family.name() == "rouse_decisions_total").unwrap();
        let mut words: Vec<&str> = decisions.get_metric().iter().map(|series| series.get_label()[0].value()).collect();
        let mut expected: Vec<&str> = Because::ALL.iter().map(|because| because.word()).collect();
        words.sort_unstable();
        expected.sort_unstable();
        assert_eq!(words, expected);
    }

    #[test]
    fn a_revision_that_is_gone_leaves_no_series() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let key = RevisionKey::new("shop", "v1");
        let _handles = metrics.of_revision(&key);
        metrics.forget(&key);
        assert!(registry.gather().iter().all(|family| family.name() != "rouse_replicas"));
    }
}
