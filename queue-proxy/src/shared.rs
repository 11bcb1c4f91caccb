//! What the parts of one sidecar share.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use forward::{ByClass, LooseEnds, Pool, PoolOptions, Protocol, Timeouts};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;
use units::{ConcurrencyLimit, Incarnation};

use crate::config::Config;
use crate::foreign::Strangers;
use crate::gate::Gate;
use crate::metrics::{Metrics, Now};
use crate::proof::Proven;
use crate::readiness::Readiness;

/// One sidecar, as its ports, its prober and its reporters see it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) gate: Arc<Gate>,
    pub(crate) readiness: Readiness,
    pub(crate) http: Pool,
    pub(crate) http2: Pool,
    pub(crate) grpc: Pool,
    pub(crate) ends: LooseEnds,
    pub(crate) metrics: Metrics,
    pub(crate) incarnation: Incarnation,
    /// Begun once, never taken back.
    pub(crate) leaving: CancellationToken,
    /// Likewise, later: the quiet period is over, and nobody can connect any more.
    pub(crate) closed: CancellationToken,
    /// Likewise, last of all: nothing is left here.
    pub(crate) ended: CancellationToken,
    /// Who waits to hear that the model may go.
    pub(crate) drain_followers: TaskTracker,
    /// Streams to autoscalers on which the last is still to be said.
    pub(crate) telling: TaskTracker,
    /// How it proves itself to autoscalers; `None`: in plain TCP nobody does.
    pub(crate) proven: Option<Proven>,
    timeouts: ArcSwap<Timeouts>,
    /// Of the settings in force; 0 for those of the environment.
    generation: AtomicU64,
    model_ports: Vec<u16>,
    strangers: Strangers,
}

impl Shared {
    pub(crate) fn new(
        config: &Config,
        proven: Option<Proven>,
        gate: Arc<Gate>,
        metrics: Metrics,
        ends: LooseEnds,
    ) -> Self {
        let mut model_ports = vec![config.upstream.port(), config.upstream_grpc.port()];
        model_ports.dedup();
        Self {
            gate,
            readiness: Readiness::unknown(),
            http: Pool::new(config.upstream, PoolOptions::nearby(Protocol::Http1)),
            http2: Pool::new(config.upstream, PoolOptions::nearby(Protocol::H2c)),
            grpc: Pool::new(config.upstream_grpc, PoolOptions::nearby(Protocol::H2c)),
            ends,
            metrics,
            incarnation: Incarnation(fastrand::u64(..)),
            leaving: CancellationToken::new(),
            closed: CancellationToken::new(),
            ended: CancellationToken::new(),
            drain_followers: TaskTracker::new(),
            telling: TaskTracker::new(),
            proven,
            timeouts: ArcSwap::from_pointee(config.timeouts),
            generation: AtomicU64::new(0),
            model_ports,
            strangers: config.strangers.clone(),
        }
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// What is at the model now.
    pub(crate) fn at_model(&self) -> ByClass<usize> {
        // Those who wait in the line are unary.
        let there = self.ends.in_flight();
        let unary = (self.gate.running() as usize).saturating_sub(there.streaming + there.upgraded);
        ByClass { unary, ..there }
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        **self.timeouts.load()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Connections to the model that did not come through here, now; `None` if that cannot be seen.
    pub(crate) async fn foreign(&self) -> Option<u32> {
        self.strangers.now(&self.model_ports).await
    }

    /// The same, as it was within the last seconds: for who only reports.
    pub(crate) fn foreign_lately(&self) -> Option<u32> {
        self.strangers.lately(&self.model_ports)
    }

    /// Looks for them every few seconds.
    pub(crate) async fn keep_looking(&self) -> Infallible {
        self.strangers.keep_looking().await
    }

    pub(crate) fn now(&self) -> Now {
        let (reading, held) = self.gate.read();
        Now {
            in_flight: reading.in_flight,
            held,
            ready: self.readiness.is_ready(),
            foreign: self.foreign_lately().unwrap_or(0),
        }
    }

    /// What the autoscaler that leads wants it to run with, from now on. The number names the settings and orders
    /// nothing: a new leader, or a new endpoint of the same name, counts for itself.
    pub(crate) fn apply(&self, settings: &wire::Settings) {
        let limit = |millis: u64| (0 < millis).then(|| std::time::Duration::from_millis(millis));
        let timeouts = Timeouts {
            request: limit(settings.request_timeout_ms),
            response_start: limit(settings.response_start_timeout_ms),
            idle: limit(settings.idle_timeout_ms),
        };
        self.timeouts.store(Arc::new(timeouts));
        self.gate.limit(ConcurrencyLimit::from_field(settings.container_concurrency));
        if self.generation.swap(settings.generation, Ordering::AcqRel) != settings.generation {
            let (generation, concurrency) = (settings.generation, settings.container_concurrency);
            info!(generation, concurrency, ?timeouts, "new settings");
        }
    }
}
