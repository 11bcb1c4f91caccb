//! Every number the activator publishes. If it is not here, it is not published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use breaker::Budget;
use daemon::Departure;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use units::{EndpointKey, RevisionKey};
use wire::durations;

use forward::Reason;

use crate::shadow::{COMPARED, FATES, ROWS};

/// Up to ten minutes: a hold can last as long as a model takes to load.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// How a request ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A replica answered, whatever its status.
    Answered,
    /// Rouse refused it; `rouse_refusals_total` says why.
    Refused,
    /// The client went before the head of an answer.
    ClientGone,
    /// Its revision cannot be woken, and another one takes it. There it ends, and is counted as a request.
    FellBack,
}

impl Outcome {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Answered, "answered"), (Self::Refused, "refused"), (Self::ClientGone, "client-gone")];
}

/// Everything, by revision.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGaugeVec,
    held: IntGaugeVec,
    hold_duration: HistogramVec,
    refusals: IntCounterVec,
    retries: IntCounterVec,
    fallbacks: IntCounterVec,
    shadow_copies: IntCounterVec,
    shadow_comparisons: IntCounterVec,
    shadow_rows: IntCounterVec,
    shadow_duration: HistogramVec,
    pub(crate) departure: Departure,
    /// Who ends without an answer now is cut, and has not gone by itself.
    time_is_up: Arc<AtomicBool>,
}

/// One of each family that an activator publishes, with made-up labels: what the table in `docs/metrics.md` is made of.
///
/// # Errors
/// Never, while the names are right.
pub fn every_metric() -> prometheus::Result<Vec<MetricFamily>> {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry, &Budget::new(1))?;
    let _born = metrics.of_revision(&RevisionKey::new("", ""));
    let _born = metrics.of_shadow(&RevisionKey::new("", ""));
    Reason::ALL.iter().for_each(|reason| metrics.refused(None, *reason));
    Ok(registry.gather())
}

/// The handles of one revision, resolved once: a look-up by labels costs more than the rest of the counting.
#[derive(Clone, Debug)]
pub(crate) struct RevisionMetrics {
    outcomes: [IntCounter; 3],
    pub(crate) duration: Histogram,
    pub(crate) in_flight: IntGauge,
    pub(crate) held: IntGauge,
    pub(crate) hold_duration: Histogram,
    pub(crate) fallbacks: IntCounter,
    pub(crate) retries_connect: IntCounter,
    pub(crate) retries_not_started: IntCounter,
    /// The same ends once more, for autoscalers: they are told in all, whatever is scraped.
    ends: Arc<Ends>,
    time_is_up: Arc<AtomicBool>,
}

/// The handles of one shadow.
#[derive(Clone, Debug)]
pub(crate) struct ShadowMetrics {
    pub(crate) fates: [IntCounter; FATES.len()],
    pub(crate) compared: [IntCounter; COMPARED.len()],
    pub(crate) rows: [IntCounter; ROWS.len()],
    /// The client's, the shadow's.
    pub(crate) took: [Histogram; WHOSE.len()],
}

/// Whose answer took so long, as a label.
const WHOSE: [&str; 2] = ["client", "shadow"];

/// How requests ended, counted without a lock: each ends somewhere else.
#[derive(Debug)]
struct Ends {
    answered: AtomicU64,
    errors: AtomicU64,
    refused: AtomicU64,
    gone: AtomicU64,
    durations: [AtomicU64; durations::BUCKETS],
}

impl Default for Ends {
    fn default() -> Self {
        let none = AtomicU64::default;
        Self {
            answered: none(),
            errors: none(),
            refused: none(),
            gone: none(),
            durations: std::array::from_fn(|_| none()),
        }
    }
}

impl Metrics {
    /// Makes them and registers them.
    ///
    /// # Errors
    /// If the registry has one of the names already.
    pub fn register(registry: &Registry, budget: &Budget) -> prometheus::Result<Self> {
        let used = budget.clone();
        daemon::register_memory_budget(registry, budget.limit(), move || used.used())?;
        const REVISION: [&str; 2] = ["namespace", "revision"];
        let with = |label| [REVISION[0], REVISION[1], label];
        let seconds = |name: &str, help: &str| HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        let opts = |name: &str, help: &str| Opts::new(name, help);
        let metrics = Self {
            requests: IntCounterVec::new(
                opts("rouse_requests_total", "Requests, by how they ended"),
                &with("outcome"),
            )?,
            duration: HistogramVec::new(
                seconds("rouse_request_duration_seconds", "From a request's arrival to the last byte of its answer"),
                &REVISION,
            )?,
            in_flight: IntGaugeVec::new(opts("rouse_in_flight_requests", "Requests held or forwarded"), &REVISION)?,
            held: IntGaugeVec::new(opts("rouse_held_requests", "Requests waiting for a replica"), &REVISION)?,
            hold_duration: HistogramVec::new(
                seconds("rouse_hold_duration_seconds", "From a request's arrival until a replica had room for it"),
                &REVISION,
            )?,
            refusals: IntCounterVec::new(
                opts("rouse_refusals_total", "Requests that Rouse answered itself, by reason"),
                &["namespace", "endpoint", "reason"],
            )?,
            retries: IntCounterVec::new(
                opts("rouse_retries_total", "Requests tried at another replica, by why the first had not begun them"),
                &with("reason"),
            )?,
            fallbacks: IntCounterVec::new(
                opts(
                    "rouse_fallbacks_total",
                    "Requests of a revision that cannot be woken, sent on to another revision",
                ),
                &REVISION,
            )?,
            shadow_copies: IntCounterVec::new(
                opts("rouse_shadow_copies_total", "Copies of requests for a shadow, by how they ended"),
                &with("outcome"),
            )?,
            shadow_comparisons: IntCounterVec::new(
                opts("rouse_shadow_comparisons_total", "Answers of a shadow beside those that clients got"),
                &with("result"),
            )?,
            shadow_rows: IntCounterVec::new(
                opts("rouse_shadow_rows_total", "Rows of scores in compared answers, by whether the same comes first"),
                &with("result"),
            )?,
            shadow_duration: HistogramVec::new(
                seconds(
                    "rouse_shadow_duration_seconds",
                    "From when a replica had room to the last byte, of answers that were compared, by whose it is",
                ),
                &with("whose"),
            )?,
            departure: Departure::register(registry)?,
            time_is_up: Arc::default(),
        };
        let all: [Box<dyn Collector>; 12] = [
            Box::new(metrics.requests.clone()),
            Box::new(metrics.duration.clone()),
            Box::new(metrics.in_flight.clone()),
            Box::new(metrics.held.clone()),
            Box::new(metrics.hold_duration.clone()),
            Box::new(metrics.refusals.clone()),
            Box::new(metrics.retries.clone()),
            Box::new(metrics.fallbacks.clone()),
            Box::new(metrics.shadow_copies.clone()),
            Box::new(metrics.shadow_comparisons.clone()),
            Box::new(metrics.shadow_rows.clone()),
            Box::new(metrics.shadow_duration.clone()),
        ];
        all.into_iter().try_for_each(|collector| registry.register(collector))?;
        Ok(metrics)
    }

    pub(crate) fn of_revision(&self, key: &RevisionKey) -> RevisionMetrics {
        let labels = [&*key.namespace, &*key.name];
        let with = |label| [&*key.namespace, &*key.name, label];
        RevisionMetrics {
            outcomes: Outcome::ALL.map(|(_, word)| self.requests.with_label_values(&with(word))),
            duration: self.duration.with_label_values(&labels),
            in_flight: self.in_flight.with_label_values(&labels),
            held: self.held.with_label_values(&labels),
            hold_duration: self.hold_duration.with_label_values(&labels),
            fallbacks: self.fallbacks.with_label_values(&labels),
            retries_connect: self.retries.with_label_values(&with("connect-failed")),
            retries_not_started: self.retries.with_label_values(&with("not-started")),
            ends: Arc::default(),
            time_is_up: Arc::clone(&self.time_is_up),
        }
    }

    pub(crate) fn of_shadow(&self, key: &RevisionKey) -> ShadowMetrics {
        let with = |label| [&*key.namespace, &*key.name, label];
        ShadowMetrics {
            fates: FATES.map(|(_, word)| self.shadow_copies.with_label_values(&with(word))),
            compared: COMPARED.map(|word| self.shadow_comparisons.with_label_values(&with(word))),
            rows: ROWS.map(|word| self.shadow_rows.with_label_values(&with(word))),
            took: WHOSE.map(|word| self.shadow_duration.with_label_values(&with(word))),
        }
    }

    /// It is no shadow any more: so are its series.
    pub(crate) fn forget_shadow(&self, key: &RevisionKey) {
        let with = |label| [&*key.namespace, &*key.name, label];
        let forget = |family: &IntCounterVec, words: &[&'static str]| {
            words.iter().for_each(|word| drop(family.remove_label_values(&with(word))));
        };
        forget(&self.shadow_copies, &FATES.map(|(_, word)| word));
        forget(&self.shadow_comparisons, &COMPARED);
        forget(&self.shadow_rows, &ROWS);
        WHOSE.iter().for_each(|word| drop(self.shadow_duration.remove_label_values(&with(word))));
    }

    /// From now on who ends without an answer is counted as refused: it was told that it is too late.
    pub(crate) fn time_is_up(&self) {
        self.time_is_up.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_time_up(&self) -> bool {
        self.time_is_up.load(Ordering::Relaxed)
    }

    /// Rare, so looked up when it happens, and born with it: sixteen reasons of each endpoint would be most of what is
    /// scraped. `endpoint`: `None` for a request that named none.
    pub(crate) fn refused(&self, endpoint: Option<&EndpointKey>, reason: Reason) {
        let (namespace, name) = endpoint.map_or(("", ""), |key| (&*key.namespace, &*key.name));
        self.refusals.with_label_values(&[namespace, name, reason.word()]).inc();
    }

    /// The endpoint is gone: so are its series.
    pub(crate) fn forget_endpoint(&self, key: &EndpointKey) {
        for reason in Reason::ALL {
            // Most have never been there.
            let _ = self.refusals.remove_label_values(&[&key.namespace, &key.name, reason.word()]);
        }
    }

    /// The revision is gone: so are its series.
    pub(crate) fn forget(&self, key: &RevisionKey) {
        let labels = [&*key.namespace, &*key.name];
        // They may never have been there.
        for (_, word) in Outcome::ALL {
            let _ = self.requests.remove_label_values(&[labels[0], labels[1], word]);
        }
        for word in ["connect-failed", "not-started"] {
            let _ = self.retries.remove_label_values(&[labels[0], labels[1], word]);
        }
        let _ = self.fallbacks.remove_label_values(&labels);
        let _ = self.duration.remove_label_values(&labels);
        let _ = self.in_flight.remove_label_values(&labels);
        let _ = self.held.remove_label_values(&labels);
        let _ = self.hold_duration.remove_label_values(&labels);
    }
}

impl RevisionMetrics {
    /// One ended that was here for so long. `failed`: a replica answered it with a status of 500 or more.
    pub(crate) fn ended(&self, outcome: Outcome, failed: bool, after: Duration) {
        if outcome == Outcome::FellBack {
            return self.turned_away();
        }
        let outcome = match outcome {
            Outcome::ClientGone if self.time_is_up.load(Ordering::Relaxed) => Outcome::Refused,
            Outcome::Answered | Outcome::Refused | Outcome::ClientGone | Outcome::FellBack => outcome,
        };
        if let Some(position) = Outcome::ALL.iter().position(|(known, _)| *known == outcome) {
            self.outcomes[position].inc();
        }
        self.duration.observe(after.as_secs_f64());
        let ends = &*self.ends;
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Outcome::Answered => {
                count(&ends.answered);
                count(&ends.durations[durations::bucket(after)]);
                if failed {
                    count(&ends.errors);
                }
            }
            Outcome::Refused | Outcome::FellBack => drop(count(&ends.refused)),
            Outcome::ClientGone => drop(count(&ends.gone)),
        }
    }

    /// One was not served here: refused before it counted as being here, or sent on to another revision.
    pub(crate) fn turned_away(&self) {
        self.ends.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How requests ended so far.
    pub(crate) fn ends(&self) -> wire::Outcomes {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Ends { answered, errors, refused, gone, durations } = &*self.ends;
        let mut durations: Vec<u64> = durations.iter().map(read).collect();
        durations.truncate(durations.iter().rposition(|count| *count != 0).map_or(0, |last| last + 1));
        wire::Outcomes {
            answered: read(answered),
            errors: read(errors),
            refused: read(refused),
            gone: read(gone),
            durations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_names_are_the_documented_ones() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry, &Budget::new(1)).unwrap();
        let _born = metrics.of_revision(&RevisionKey::new("shop", "v1"));
        let _born = metrics.of_shadow(&RevisionKey::new("shop", "v2"));
        metrics.refused(None, Reason::UnknownHost);
        let mut names: Vec<String> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
        names.sort();
        assert_eq!(
            names,
            [
                "rouse_cut_total",
                "rouse_fallbacks_total",
                "rouse_held_requests",
                "rouse_hold_duration_seconds",
                "rouse_in_flight_requests",
                "rouse_leaving_seconds",
                "rouse_memory_budget_bytes",
                "rouse_memory_budget_used_bytes",
                "rouse_phase",
                "rouse_refusals_total",
                "rouse_request_duration_seconds",
                "rouse_requests_total",
                "rouse_retries_total",
                "rouse_shadow_comparisons_total",
                "rouse_shadow_copies_total",
                "rouse_shadow_duration_seconds",
                "rouse_shadow_rows_total",
            ]
        );
    }
}
