//! Descriptions that read aloud.

use std::time::Duration;

use local::{Described, Workload};
use platform::{Endpoint, OnUnavailable, PathPolicy, QueueLimits, Route, Target, Timeouts, UpstreamProtocol};
use units::{ConcurrencyLimit, EndpointKey, Percent, ReplicaCount, RevisionKey};

/// The revision that every test uses.
pub(crate) fn key() -> RevisionKey {
    RevisionKey::new("default", "m")
}

/// It runs `command`, `initial` times.
pub(crate) fn workload(command: &[&str], initial: u32) -> Workload {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    Workload {
        key: key(),
        container: api::Deployment::new(key(), command).container,
        layers: Vec::new(),
        progress_deadline: Duration::from_secs(600),
        termination_grace: Duration::from_secs(30),
        initial_scale: ReplicaCount(initial),
    }
}

/// An endpoint with this workload alone.
pub(crate) fn one(workload: Workload) -> Described {
    Described { endpoints: vec![endpoint()], workloads: vec![workload], ..Described::default() }
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint {
        key: EndpointKey::new("default", "e"),
        generation: 1,
        hosts: Vec::new(),
        own_port: None,
        targets: vec![Target { revision: key(), percent: Percent::new(100).unwrap(), tag: None }],
        matches: [].into(),
        sticky: None,
        shadows: [].into(),
        upstream: UpstreamProtocol::Http1,
        path: PathPolicy::Proxied,
        route: Route::Direct,
        container_concurrency: ConcurrencyLimit::Unlimited,
        timeouts: Timeouts { request: Some(Duration::from_secs(300)), response_start: None, idle: None },
        queue: QueueLimits {
            max_requests: 100.try_into().unwrap(),
            max_bytes: 1 << 20,
            max_wait: Duration::from_secs(60),
        },
        on_unavailable: OnUnavailable::Fail,
        answer_headers: true,
    }
}
