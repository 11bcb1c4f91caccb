//! The activator alone, in front of one replica that is there: what it costs a request without an autoscaler, a platform
//! and sidecars in the same process. `loadtest activator`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use activator::{Activator, Budget, Config, Metrics};
use anyhow::Context as _;
use daemon::{Clock, Draining, Problems, Telemetry, Vars};
use forward::tls::{ClientTls, Parties, Pem};
use platform::{
    ActivatorPod, Boards, Endpoint, OnUnavailable, PathPolicy, QueueLimits, Replica, ReplicaState, Revision, Route,
    Scale, ScaleVersion, Target, Timeouts, UpstreamProtocol, Workload,
};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use units::{ConcurrencyLimit, EndpointKey, Percent, ReplicaCount, RevisionKey};

/// Where it stands, and between whom.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Between {
    /// Where it takes requests, for any Host
    #[arg(long)]
    listen: SocketAddr,
    /// Where the replica does
    #[arg(long)]
    replica: SocketAddr,
    /// Whether that is a sidecar
    #[arg(long)]
    sidecar: bool,
    /// Whom it reports to
    #[arg(long)]
    autoscaler: SocketAddr,
    /// The most requests that the replica takes at once
    #[arg(long)]
    container_concurrency: u32,
    /// What it shows a sidecar; without, it speaks in plain text
    #[arg(long, requires_all = ["key", "authority"])]
    certificate: Option<PathBuf>,
    #[arg(long)]
    key: Option<PathBuf>,
    #[arg(long)]
    authority: Option<PathBuf>,
}

impl Between {
    fn sidecar_tls(&self) -> anyhow::Result<Option<ClientTls>> {
        let (Some(certificate), Some(key), Some(authority)) = (&self.certificate, &self.key, &self.authority) else {
            return Ok(None);
        };
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| path.display().to_string());
        let pem = Pem { certificate: read(certificate)?, key: read(key)?, authority: read(authority)? };
        Ok(Some(ClientTls::new(Parties::OF_ACTIVATOR, &pem)?))
    }
}

const NAME: &str = "activator";

/// Serves until it is killed, and logs as programs do.
pub(crate) async fn serve(between: &Between) -> anyhow::Result<()> {
    let mut problems = Problems::none();
    if let Some(telemetry) = Telemetry::parse(&Vars::of_process(), &mut problems) {
        telemetry.init()?;
    }
    let budget = Budget::new(daemon::memory_limit() / 2);
    let config = Config {
        budget: budget.clone(),
        namespace: "default".into(),
        name: NAME.into(),
        uid: NAME.into(),
        listen: between.listen,
        autoscalers: activator::fixed_autoscalers([between.autoscaler]),
        autoscaler_trust: None,
        cluster_domain: "cluster.local".into(),
        alone_answers_every_host: true,
        sidecar_tls: between.sidecar_tls()?,
        plain_sidecars: false,
        quiet: Duration::ZERO,
        drain: activator::ByClass::all(Duration::from_secs(30)),
    };
    let clock = Clock::start();
    let metrics = Metrics::register(&Registry::new(), &budget)?;
    let catalogue = Arc::new(world(between, clock));
    let never = Draining::when(CancellationToken::new());
    Activator::bind(config, clock, metrics, None)?.run(catalogue, never).await
}

/// One endpoint, one revision, one replica; nothing ever changes.
fn world(between: &Between, clock: Clock) -> Boards {
    let endpoint = EndpointKey::new("default", "iris");
    let revision = RevisionKey::new("default", "iris-v1");
    let limit = ConcurrencyLimit::from_field(between.container_concurrency);
    let itself = ActivatorPod { name: NAME.into(), uid: NAME.into(), out_since: None };
    let boards = Boards::new();
    boards.activators.send_replace(Some(Arc::from([itself])));
    boards.config.send_replace(Some(Arc::default()));
    boards.endpoints.put(endpoint.clone(), served(endpoint.clone(), revision.clone(), limit));
    boards.revisions.put(revision.clone(), running(endpoint, revision, between, limit, clock));
    boards.endpoints.synced();
    boards.revisions.synced();
    boards
}

/// With the limits that an endpoint has by default.
fn served(key: EndpointKey, revision: RevisionKey, limit: ConcurrencyLimit) -> Endpoint {
    let all = Target { revision, percent: Percent::new(100).expect("is a percentage"), tag: None };
    let five_minutes = Duration::from_secs(300);
    Endpoint {
        key,
        generation: 1,
        hosts: Vec::new(),
        own_port: None,
        targets: vec![all],
        matches: Arc::from([]),
        sticky: None,
        shadows: Arc::from([]),
        upstream: UpstreamProtocol::Http1,
        path: PathPolicy::Auto,
        route: Route::Proxied { through: Arc::from([Arc::from(NAME)]) },
        container_concurrency: limit,
        timeouts: Timeouts { request: Some(five_minutes), response_start: None, idle: None },
        queue: QueueLimits {
            max_requests: NonZeroU32::new(10_000).expect("is not zero"),
            max_bytes: 256 << 20,
            max_wait: five_minutes,
        },
        on_unavailable: OnUnavailable::Fail,
        answer_headers: true,
    }
}

fn running(
    endpoint: EndpointKey,
    key: RevisionKey,
    between: &Between,
    limit: ConcurrencyLimit,
    clock: Clock,
) -> Revision {
    let now = clock.now();
    let replica = Replica {
        name: "iris-v1-0".into(),
        address: Some(between.replica),
        encrypted: false,
        state: ReplicaState::Ready,
        since: now,
        created: now,
        spawned: None,
    };
    Revision {
        key,
        endpoint,
        workload: Workload::Present {
            generation: 1,
            scale: Scale { replicas: ReplicaCount(1), version: ScaleVersion("1".into()) },
        },
        reachable: true,
        container_concurrency: limit,
        container_concurrency_from: platform::Source::Endpoint,
        sidecars: between.sidecar,
        layers: Vec::new(),
        adopted: true,
        contested: false,
        replicas: vec![replica],
        progress_deadline: Duration::from_secs(60),
        trouble: None,
    }
}
