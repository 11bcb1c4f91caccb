//! Endpoints and holds for tests, read aloud.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use breaker::Budget;
use daemon::Clock;
use platform::{Endpoint, OnUnavailable, PathPolicy, QueueLimits, Route, Target, Timeouts, UpstreamProtocol};
use prometheus::Registry;
use units::{ConcurrencyLimit, EndpointKey, Percent, RevisionKey};

use crate::hold::{Common, Hold};
use crate::metrics::Metrics;
use crate::wakes::Wakes;

/// An endpoint that one revision, `<name>-v1`, serves alone.
pub(crate) fn endpoint(name: &str) -> Endpoint {
    Endpoint {
        key: EndpointKey::new("default", name),
        generation: 1,
        hosts: Vec::new(),
        own_port: None,
        targets: vec![Target {
            revision: RevisionKey::new("default", format!("{name}-v1")),
            percent: Percent::new(100).unwrap(),
            tag: None,
        }],
        matches: Arc::from([]),
        sticky: None,
        shadows: Arc::from([]),
        upstream: UpstreamProtocol::Http1,
        path: PathPolicy::Auto,
        route: Route::Proxied { through: Arc::from([Arc::from("activator")]) },
        container_concurrency: ConcurrencyLimit::Unlimited,
        timeouts: Timeouts { request: None, response_start: None, idle: None },
        queue: queue(100),
        on_unavailable: OnUnavailable::Fail,
        answer_headers: true,
    }
}

pub(crate) fn queue(max_requests: u32) -> QueueLimits {
    let max_requests = NonZeroU32::new(max_requests).unwrap();
    QueueLimits { max_requests, max_bytes: 1 << 20, max_wait: Duration::from_secs(60) }
}

/// A revision of which each replica takes `limit` at once (0: no limit), before a line of `max_requests`.
pub(crate) fn hold(limit: u32, max_requests: u32) -> Arc<Hold> {
    hold_within(Budget::new(1 << 30), limit, max_requests)
}

/// A revision of this name.
pub(crate) fn hold_of(name: &str) -> Arc<Hold> {
    let key = RevisionKey::new("default", name);
    let budget = Budget::new(1 << 30);
    let metrics = Metrics::register(&Registry::new(), &budget).unwrap().of_revision(&key);
    let common = Common { clock: Clock::start(), wakes: Wakes::new(), budget, hold_until: None };
    Arc::new(Hold::new(key, common, metrics, ConcurrencyLimit::Unlimited, queue(100)))
}

/// A revision as `hold` makes it, within a budget that it may share with others.
pub(crate) fn hold_within(budget: Budget, limit: u32, max_requests: u32) -> Arc<Hold> {
    let key = RevisionKey::new("default", "model-v1");
    let metrics = Metrics::register(&Registry::new(), &budget).unwrap().of_revision(&key);
    let limit = ConcurrencyLimit::from_field(limit);
    let common = Common { clock: Clock::start(), wakes: Wakes::new(), budget, hold_until: None };
    Arc::new(Hold::new(key, common, metrics, limit, queue(max_requests)))
}
