//! An activator and what it sees.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use activator::{Activator, Budget, ByClass, Config, Metrics};
use daemon::{Clock, Draining, Readiness};
use forward::tls::ClientTls;
use platform::{
    Boards, Endpoint, OnUnavailable, PathPolicy, QueueLimits, ReplicaState, Revision, Route, Scale, ScaleVersion,
    Target, Timeouts, UpstreamProtocol, Workload,
};
use prometheus::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use units::{ConcurrencyLimit, EndpointKey, Percent, ReplicaCount, RevisionKey};

use crate::autoscaler::Autoscaler;
use crate::client::{Answer, Request};
use crate::replica::Replica;

/// Long enough for a slow machine, short enough for a person.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}

pub(crate) async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}

/// An activator, an autoscaler, and boards to put things on.
pub(crate) struct World {
    pub(crate) boards: Arc<Boards>,
    pub(crate) autoscaler: Autoscaler,
    pub(crate) address: SocketAddr,
    pub(crate) readiness: Readiness,
    registry: Registry,
    admin: axum::Router,
    drain: CancellationToken,
    running: JoinSet<anyhow::Result<()>>,
}

impl World {
    /// Nothing exists, and it is known.
    pub(crate) async fn empty() -> Self {
        Self::unsynced().await.that_is_known()
    }

    /// All that there is, is known.
    pub(crate) fn that_is_known(self) -> Self {
        self.boards.endpoints.synced();
        self.boards.revisions.synced();
        self
    }

    /// Nothing is known.
    pub(crate) async fn unsynced() -> Self {
        Self::configured(|_| {}).await
    }

    /// Nothing exists, and it is known; with certificates for its sidecars.
    pub(crate) async fn trusting(sidecar_tls: ClientTls) -> Self {
        Self::configured(|config| config.sidecar_tls = Some(sidecar_tls)).await.that_is_known()
    }

    /// The same, where sidecars that take plain TCP are spoken to in it.
    pub(crate) async fn trusting_or_plain(sidecar_tls: ClientTls) -> Self {
        let world = Self::configured(|config| (config.sidecar_tls, config.plain_sidecars) = (Some(sidecar_tls), true));
        world.await.that_is_known()
    }

    /// The same, with time of the test's own for leaving.
    pub(crate) async fn leaving_within(quiet: Duration, drain: ByClass<Duration>) -> Self {
        Self::configured(|config| (config.quiet, config.drain) = (quiet, drain)).await
    }

    /// The same, with these autoscalers, and one that is not among them.
    pub(crate) async fn told_of(autoscalers: activator::Autoscalers) -> Self {
        Self::configured(|config| config.autoscalers = autoscalers).await.that_is_known()
    }

    /// The same, with settings of the test's own.
    async fn configured(settings: impl FnOnce(&mut Config)) -> Self {
        let autoscaler = Autoscaler::start().await;
        let boards = Arc::new(Boards::new());
        let mut config = Config {
            namespace: "default".into(),
            name: "activator".into(),
            uid: "activator-uid".into(),
            listen: ([127, 0, 0, 1], 0).into(),
            autoscalers: activator::fixed_autoscalers([autoscaler.address]),
            autoscaler_trust: None,
            cluster_domain: "cluster.local".into(),
            alone_answers_every_host: false,
            sidecar_tls: None,
            plain_sidecars: false,
            budget: Budget::new(1 << 30),
            quiet: Duration::ZERO,
            drain: ByClass::all(Duration::from_secs(10)),
        };
        settings(&mut config);
        let registry = Registry::new();
        let metrics = Metrics::register(&registry, &config.budget).unwrap();
        let activator = Activator::bind(config, Clock::start(), metrics, None).unwrap();
        let (address, readiness) = (activator.address(), activator.readiness());
        let admin = activator.admin_routes();
        let drain = CancellationToken::new();
        let mut running = JoinSet::new();
        let catalogue = Arc::clone(&boards);
        running.spawn(activator.run(catalogue, Draining::when(drain.clone())));
        Self { boards, autoscaler, address, readiness, registry, admin, drain, running }
    }

    /// One endpoint `model` with one revision `v1`, at zero.
    pub(crate) async fn at_zero() -> Self {
        Self::empty().await.with_a_model().await
    }

    /// The same, in which so much may wait.
    pub(crate) async fn small(budget: Budget) -> Self {
        Self::configured(|config| config.budget = budget).await.that_is_known().with_a_model().await
    }

    /// One endpoint more, `model` with one revision `v1`, at zero.
    pub(crate) async fn with_a_model(self) -> Self {
        self.put_endpoint(endpoint("model", &[("v1", 100)]));
        self.put_replicas("v1", &[]);
        self.autoscaler.acknowledged("model", 1).await;
        self
    }

    /// The same, with replicas that are ready.
    pub(crate) async fn with(replicas: &[&Replica]) -> Self {
        let world = Self::at_zero().await;
        world.put_replicas("v1", replicas);
        world
    }

    pub(crate) fn put_endpoint(&self, endpoint: Endpoint) {
        self.boards.endpoints.put(endpoint.key.clone(), endpoint);
    }

    pub(crate) fn put_replicas(&self, name: &str, replicas: &[&Replica]) {
        self.boards.revisions.put(revision_key(name), revision(name, replicas));
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path)).await
    }

    pub(crate) async fn send(&self, request: Request) -> Answer {
        within("an answer", request.send(self.address)).await
    }

    /// What a gauge or counter of a revision says now.
    pub(crate) fn metric(&self, name: &str, revision: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let series = family.into_iter().flat_map(|family| family.get_metric());
        let of_revision = series.filter(|series| series.get_label().iter().any(|label| label.value() == revision));
        of_revision.map(|series| series.get_gauge().get_value() + series.get_counter().get_value()).sum()
    }

    /// What the admin port says of shadows.
    pub(crate) async fn shadows(&self) -> serde_json::Value {
        let request = axum::extract::Request::get("/api/v1/shadows").body(axum::body::Body::empty()).unwrap();
        let answer = self.admin.clone().oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    pub(crate) async fn until_held(&self, count: u32) {
        let what = format!("{count} held");
        until(&what, || (self.metric("rouse_held_requests", "v1") == f64::from(count)).then_some(())).await;
    }

    pub(crate) async fn until_in_flight(&self, count: u32) {
        let what = format!("{count} in flight");
        until(&what, || (self.metric("rouse_in_flight_requests", "v1") == f64::from(count)).then_some(())).await;
    }

    pub(crate) fn begin_draining(&self) {
        self.drain.cancel();
    }

    pub(crate) async fn ended(&mut self) {
        within("the activator ends", self.running.join_next()).await.unwrap().unwrap().unwrap();
    }
}

pub(crate) fn endpoint_key(name: &str) -> EndpointKey {
    EndpointKey::new("default", name)
}

pub(crate) fn revision_key(name: &str) -> RevisionKey {
    RevisionKey::new("default", name)
}

/// An endpoint with these revisions and percents; tagged with their own names.
pub(crate) fn endpoint(name: &str, targets: &[(&str, u8)]) -> Endpoint {
    let target = |(name, percent): &(&str, u8)| Target {
        revision: revision_key(name),
        percent: Percent::new(*percent).unwrap(),
        tag: Some(Arc::from(*name)),
    };
    Endpoint {
        key: endpoint_key(name),
        generation: 1,
        hosts: Vec::new(),
        own_port: None,
        targets: targets.iter().map(target).collect(),
        matches: Arc::from([]),
        sticky: None,
        shadows: Arc::from([]),
        upstream: UpstreamProtocol::Http1,
        path: PathPolicy::Auto,
        route: Route::Proxied { through: Arc::from([Arc::from("activator")]) },
        container_concurrency: ConcurrencyLimit::Unlimited,
        timeouts: Timeouts { request: None, response_start: None, idle: None },
        queue: QueueLimits {
            max_requests: NonZeroU32::new(100).unwrap(),
            max_bytes: 1 << 20,
            max_wait: Duration::from_secs(60),
        },
        on_unavailable: OnUnavailable::Fail,
        answer_headers: true,
    }
}

pub(crate) fn revision(name: &str, replicas: &[&Replica]) -> Revision {
    let replicas: Vec<_> = replicas.iter().map(|replica| (&*replica.name, replica.address)).collect();
    revision_at(name, &replicas)
}

/// With replicas of these names at these addresses.
pub(crate) fn revision_at(name: &str, replicas: &[(&str, SocketAddr)]) -> Revision {
    let now = Clock::start().now();
    let replica = |(name, address): &(&str, SocketAddr)| platform::Replica {
        name: Arc::from(*name),
        address: Some(*address),
        encrypted: false,
        state: ReplicaState::Starting,
        since: now,
        created: now,
        spawned: None,
    };
    Revision {
        key: revision_key(name),
        endpoint: endpoint_key("model"),
        workload: Workload::Present {
            generation: 1,
            scale: Scale { replicas: ReplicaCount(replicas.len() as u32), version: ScaleVersion("1".into()) },
        },
        reachable: true,
        container_concurrency: ConcurrencyLimit::Unlimited,
        container_concurrency_from: platform::Source::Endpoint,
        sidecars: true,
        layers: Vec::new(),
        adopted: true,
        contested: false,
        replicas: replicas.iter().map(replica).collect(),
        progress_deadline: Duration::from_secs(60),
        trouble: None,
    }
}
