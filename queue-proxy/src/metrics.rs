//! Every number that a sidecar publishes. If it is not here, it is not published.

use std::time::Duration;

use breaker::Budget;
use daemon::Departure;
use forward::Reason;
use forward::tls::Refused;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The model answered.
    Answered,
    /// Rouse answered itself.
    Refused,
    /// The client left before there was an answer.
    ClientGone,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Answered, Self::Refused, Self::ClientGone];

    fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::ClientGone => "client-gone",
        }
    }
}

/// Statuses by their first digit; `none` where there was no head.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Why a request was begun again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retried {
    /// A connection that was kept had ended.
    StaleConnection,
    /// No connection: the model is not there.
    NoConnection,
}

/// Handles to the numbers, resolved once: looking one up by its labels costs more than counting.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: [[IntCounter; 3]; 6],
    duration: Histogram,
    hold: Histogram,
    refusals: Vec<IntCounter>,
    stale: IntCounter,
    no_connection: IntCounter,
    pub(crate) departure: Departure,
    turned_away: [IntCounter; Refused::ALL.len()],
}

/// What is so at one moment; read when the metrics are asked for, so that no request pays for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Here, waiting or at the model.
    pub(crate) in_flight: u32,
    /// Waiting.
    pub(crate) held: u32,
    /// Is the model ready?
    pub(crate) ready: bool,
    /// Connections to the model's port that did not come through here.
    pub(crate) foreign: u32,
}

/// Gauges that are set when they are collected.
struct Live {
    gauges: [IntGauge; 4],
    read: Box<dyn Fn() -> Now + Send + Sync>,
}

impl Collector for Live {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Now { in_flight, held, ready, foreign } = (self.read)();
        let values = [in_flight.into(), held.into(), ready.into(), foreign.into()];
        self.gauges.iter().zip(values).for_each(|(gauge, value)| gauge.set(value));
        self.gauges.iter().flat_map(Collector::collect).collect()
    }
}

/// Adds the gauges.
pub(crate) fn register_live(
    registry: &Registry,
    read: impl Fn() -> Now + Send + Sync + 'static,
) -> prometheus::Result<()> {
    let gauges = [
        IntGauge::new("rouse_in_flight_requests", "Here now, waiting or at the model.")?,
        IntGauge::new("rouse_held_requests", "Waiting now.")?,
        IntGauge::new("rouse_ready", "1 while the model is ready.")?,
        IntGauge::new("rouse_foreign_connections", "To the model's port, not through here, at most 5 s ago.")?,
    ];
    registry.register(Box::new(Live { gauges, read: Box::new(read) }))
}

/// One of each family that a sidecar publishes: what the table in `docs/metrics.md` is made of.
///
/// # Errors
/// Never, while the names are right.
pub fn every_metric() -> prometheus::Result<Vec<MetricFamily>> {
    let registry = Registry::new();
    Metrics::register(&registry, &Budget::new(1))?;
    register_live(&registry, || Now { in_flight: 0, held: 0, ready: false, foreign: 0 })?;
    Ok(registry.gather())
}

impl Metrics {
    /// Makes them and puts them into a registry.
    pub(crate) fn register(registry: &Registry, budget: &Budget) -> prometheus::Result<Self> {
        let used = budget.clone();
        daemon::register_memory_budget(registry, budget.limit(), move || used.used())?;
        let requests = counters(registry, "rouse_requests_total", "Requests, by the end.", &["class", "outcome"])?;
        let refusals = counters(registry, "rouse_refusals_total", "Answers of Rouse itself.", &["reason"])?;
        let retries = counters(registry, "rouse_retries_total", "Requests that were begun again.", &["reason"])?;
        let help = "Connections to the proxied port that got no further than TLS.";
        let turned_away = counters(registry, "rouse_tls_refusals_total", help, &["reason"])?;
        let child =
            |class: usize, outcome: usize| requests.with_label_values(&[CLASSES[class], Outcome::ALL[outcome].word()]);
        Ok(Self {
            requests: std::array::from_fn(|class| std::array::from_fn(|outcome| child(class, outcome))),
            duration: histogram(registry, "rouse_request_duration_seconds", "From arrival to the last byte.")?,
            hold: histogram(registry, "rouse_hold_duration_seconds", "In the line, of those that waited.")?,
            refusals: Reason::ALL.iter().map(|reason| refusals.with_label_values(&[reason.word()])).collect(),
            stale: retries.with_label_values(&["stale-connection"]),
            no_connection: retries.with_label_values(&["no-connection"]),
            departure: Departure::register(registry)?,
            turned_away: Refused::ALL.map(|why| turned_away.with_label_values(&[why.word()])),
        })
    }

    pub(crate) fn ended(&self, class: Option<u8>, outcome: Outcome, after: Duration) {
        let class = usize::from(class.filter(|class| (1..=5).contains(class)).unwrap_or(0));
        self.requests[class][outcome as usize].inc();
        self.duration.observe(after.as_secs_f64());
    }

    pub(crate) fn held_for(&self, waited: Duration) {
        self.hold.observe(waited.as_secs_f64());
    }

    pub(crate) fn refused(&self, reason: Reason) {
        let place = Reason::ALL.iter().position(|other| *other == reason);
        if let Some(counter) = place.and_then(|place| self.refusals.get(place)) {
            counter.inc();
        }
    }

    /// A connection was, before it could ask for anything.
    pub(crate) fn turned_away(&self, why: Refused) {
        if let Some(place) = Refused::ALL.iter().position(|other| *other == why) {
            self.turned_away[place].inc();
        }
    }

    pub(crate) fn retried(&self, why: Retried) {
        match why {
            Retried::StaleConnection => self.stale.inc(),
            Retried::NoConnection => self.no_connection.inc(),
        }
    }
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

/// From a millisecond to five minutes, the default time-out: models answer in tens of milliseconds or in minutes.
fn histogram(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Histogram> {
    let bounds =
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(bounds.to_vec()))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_names_are_the_documented_ones() {
        let registry = Registry::new();
        Metrics::register(&registry, &Budget::new(1)).unwrap();
        register_live(&registry, || Now { in_flight: 3, held: 1, ready: true, foreign: 0 }).unwrap();
        let names: Vec<String> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
        assert_eq!(
            names,
            [
                "rouse_cut_total",
                "rouse_foreign_connections",
                "rouse_held_requests",
                "rouse_hold_duration_seconds",
                "rouse_in_flight_requests",
                "rouse_leaving_seconds",
                "rouse_memory_budget_bytes",
                "rouse_memory_budget_used_bytes",
                "rouse_phase",
                "rouse_ready",
                "rouse_refusals_total",
                "rouse_request_duration_seconds",
                "rouse_requests_total",
                "rouse_retries_total",
                "rouse_tls_refusals_total",
            ]
        );
    }
}
