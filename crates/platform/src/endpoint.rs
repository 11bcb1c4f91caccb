//! An endpoint as the activator and the autoscaler see it: checked, with nothing optional that has a default.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::actuator::Route;
use traffic::{Match, Sticky};
use units::{ConcurrencyLimit, EndpointKey, Percent, RevisionKey};

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its name.
    pub key: EndpointKey,
    /// Grows with each change of the specification. Activators acknowledge it.
    pub generation: u64,
    /// Further host names, lower case, without port and trailing dot.
    pub hosts: Vec<Arc<str>>,
    /// Where its own listener is to be; `None` where it has only the shared one.
    pub own_port: Option<SocketAddr>,
    /// Who serves it, 1 to 16; percents add up to 100.
    pub targets: Vec<Target>,
    /// Requests that go to a certain target, whatever its percent; the first that fits decides. Each leads to one of `targets`.
    pub matches: Arc<[Match]>,
    /// By what a client is known, so that it stays with a target.
    pub sticky: Option<Sticky>,
    /// Who gets copies of its requests. None of them is a target too.
    pub shadows: Arc<[Shadow]>,
    /// How replicas of it speak.
    pub upstream: UpstreamProtocol,
    /// Whether it may go direct.
    pub path: PathPolicy,
    /// Which way requests take now, as the world says: an activator that is not in it asks its clients to reconnect.
    pub route: Route,
    /// The most one replica may work on at once.
    pub container_concurrency: ConcurrencyLimit,
    /// Limits that start at hand-over to a replica.
    pub timeouts: Timeouts,
    /// Limits of waiting, per revision and activator.
    pub queue: QueueLimits,
    /// What happens to a request whose revision cannot serve.
    pub on_unavailable: OnUnavailable,
    /// Whether answers carry `rouse-revision` and `server-timing`.
    pub answer_headers: bool,
}

impl Endpoint {
    /// Can a request reach the target at this position: by its share, its tag or a match?
    pub fn is_reachable(&self, target: usize) -> bool {
        let of_itself = |target: &Target| target.percent.get() != 0 || target.tag.is_some();
        self.targets.get(target).is_some_and(of_itself) || self.matches.iter().any(|one| one.to == target)
    }

    /// Every revision that it names, and whether something can reach it: its targets, then its shadows.
    pub fn revisions(&self) -> impl Iterator<Item = (&RevisionKey, bool)> {
        let targets = self.targets.iter().enumerate();
        let targets = targets.map(|(position, target)| (&target.revision, self.is_reachable(position)));
        targets.chain(self.shadows.iter().map(|shadow| (&shadow.revision, true)))
    }
}

/// A revision's part in an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Whom.
    pub revision: RevisionKey,
    /// Its exact share of unpinned requests; 0 is allowed.
    pub percent: Percent,
    /// Reached by `rouse-tag: <tag>` regardless of its share.
    pub tag: Option<Arc<str>>,
}

/// A revision that is asked what the others are asked, and whose answers nobody gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Shadow {
    /// Whom.
    pub revision: RevisionKey,
    /// Of how many requests it gets a copy.
    pub percent: Percent,
    /// Whether a copy may wake it from zero.
    pub wake: bool,
    /// What counts as the same answer; `None`: answers are not compared.
    pub compare: Option<compare::Rules>,
}

/// How a replica is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1; gRPC by content type goes over h2c.
    Http1,
    /// HTTP/2 by prior knowledge.
    H2c,
}

/// May requests bypass the activator?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathPolicy {
    /// When there is burst room enough and nothing forbids it.
    Auto,
    /// Never.
    Proxied,
}

/// Time-outs of a request once a replica has it. `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From hand-over to the last byte of the answer.
    pub request: Option<Duration>,
    /// From hand-over to the head of the answer.
    pub response_start: Option<Duration>,
    /// Without a byte in either direction.
    pub idle: Option<Duration>,
}

/// How much may wait. Each limit is for one revision at one activator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Requests.
    pub max_requests: NonZeroU32,
    /// Bytes of held bodies.
    pub max_bytes: u64,
    /// The longest that a request waits before it is handed over.
    pub max_wait: Duration,
}

/// What happens to a request whose revision cannot serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnavailable {
    /// It is refused.
    Fail,
    /// Another revision takes it.
    Fallback,
}
