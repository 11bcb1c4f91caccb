//! What stands in front of one replica's process: a queue-proxy of its own, in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api::Probe;
use hyper::http::{HeaderName, HeaderValue, Uri};
use platform::Endpoint;
use queue_proxy::{ByClass, Config, Identity, Question, QueueProxy};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;
use units::RevisionKey;

use crate::described::Workload;
use crate::exec;
use crate::health::Check;
use crate::seams::Shared;

/// Beyond the longest request, for what is to be said after it.
const DRAIN_MARGIN: Duration = Duration::from_secs(15);
/// How long a replica drains whose requests have no limit. Who streams for longer loses the stream.
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);

/// For whom it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct For<'a> {
    pub(crate) name: &'a str,
    pub(crate) revision: &'a RevisionKey,
    pub(crate) workload: &'a Workload,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) shared: &'a Arc<Shared>,
}

/// A replica's front. Dropping it cuts what is in flight.
#[derive(Debug)]
pub(crate) struct Front {
    /// Where activators send.
    pub(crate) address: SocketAddr,
    ready: watch::Receiver<bool>,
    draining: CancellationToken,
    running: JoinSet<()>,
}

impl Front {
    /// Stands before the process that is to listen on `port`.
    pub(crate) fn before(port: u16, whom: For<'_>) -> anyhow::Result<Self> {
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let sidecar = QueueProxy::bind(config(upstream, whom)?, whom.shared.clock)?;
        let (address, ready) = (sidecar.proxied_addr(), sidecar.readiness());
        let draining = CancellationToken::new();
        let (begun, name) = (draining.clone(), whom.name.to_owned());
        let mut running = JoinSet::new();
        running.spawn(async move {
            if let Err(error) = sidecar.run(begun.cancelled_owned()).await {
                error!(replica = name, error = format!("{error:#}"), "its queue-proxy failed");
            }
        });
        Ok(Self { address, ready, draining, running })
    }

    /// Returns with each change of readiness, which begins as unready; `None` if it will never change again. May be
    /// dropped at any time and asked again.
    pub(crate) async fn readiness(&mut self) -> Option<bool> {
        self.ready.changed().await.ok()?;
        Some(*self.ready.borrow_and_update())
    }

    /// Takes nothing new, says so to who waits, and returns when what had begun is finished, or cut at the limit. May be
    /// called again, and returns at once then.
    pub(crate) async fn drain(&mut self) {
        self.draining.cancel();
        while self.running.join_next().await.is_some() {}
    }
}

fn config(upstream: SocketAddr, whom: For<'_>) -> anyhow::Result<Config> {
    let For { name, revision, workload, endpoint, shared } = whom;
    let mut config = Config::local(upstream);
    config.container_concurrency = endpoint.container_concurrency;
    config.timeouts.request = endpoint.timeouts.request;
    config.timeouts.response_start = endpoint.timeouts.response_start;
    config.timeouts.idle = endpoint.timeouts.idle;
    // A replica leaves because it is not needed, and nobody waits for it: each is given as long as it may last.
    config.drain = ByClass::all(endpoint.timeouts.request.map_or(LONGEST_DRAIN, |request| request + DRAIN_MARGIN));
    config.autoscalers = shared.autoscalers.iter().map(SocketAddr::to_string).collect();
    config.strangers = shared.strangers.clone();
    config.budget = shared.budget.clone();
    config.identity = Identity {
        namespace: revision.namespace.to_string(),
        pod_name: name.to_owned(),
        pod_uid: name.to_owned(),
        revision: revision.name.to_string(),
    };
    if let Some(probe) = &workload.container.readiness {
        config.probe = asking(probe, upstream, whom)?;
    }
    Ok(config)
}

/// A probe of a replica that listens on `port`.
pub(crate) fn check(probe: &Probe, port: u16, whom: For<'_>) -> anyhow::Result<Check> {
    let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok(Check { probe: asking(probe, upstream, whom)?, initial_delay: probe.initial_delay })
}

fn asking(probe: &Probe, upstream: SocketAddr, whom: For<'_>) -> anyhow::Result<queue_proxy::Probe> {
    Ok(queue_proxy::Probe {
        question: question(probe, upstream, whom)?,
        timeout: probe.timeout,
        period: probe.period,
        successes: probe.success_threshold,
        failures: probe.failure_threshold,
    })
}

/// Every port that a probe can name is the replica's own: here that is its `PORT`.
fn question(probe: &Probe, address: SocketAddr, whom: For<'_>) -> anyhow::Result<Question> {
    Ok(match &probe.check {
        api::Check::HttpGet { path, headers, .. } => Question::Http {
            address,
            path: path.parse::<Uri>().with_context(|| format!("the probe's path {path:?}"))?,
            headers: headers.iter().map(header).collect::<anyhow::Result<_>>()?,
        },
        api::Check::TcpSocket { .. } => Question::Tcp(address),
        api::Check::Grpc { service, .. } => Question::Grpc { address, service: service.clone() },
        api::Check::Exec { command } => exec::question(command, address.port(), whom.workload, whom.shared),
    })
}

fn header((name, value): &(String, String)) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let parsed = name.parse::<HeaderName>().map_err(anyhow::Error::from);
    let header = parsed.and_then(|name| Ok((name, value.parse::<HeaderValue>()?)));
    header.with_context(|| format!("the probe's header {name:?}"))
}
