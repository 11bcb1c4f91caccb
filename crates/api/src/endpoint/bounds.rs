//! How far the fields of a `ModelEndpoint` may go, and which of them are not served. The reader and the schema of the
//! CustomResourceDefinition both take it from here. How far knobs of autoscaling may go is `kpa`'s.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Names beside the endpoint's own. More than anyone has; it keeps what is checked of each within an API server's budget.
pub(crate) const HOSTS: RangeInclusive<u64> = 0..=64;
pub(crate) const PORTS: RangeInclusive<u64> = 0..=16;
pub(crate) const PORT: RangeInclusive<u64> = 1..=65_535;
pub(crate) const TRAFFIC: RangeInclusive<u64> = 1..=traffic::MAX_TARGETS as u64;
pub(crate) const PERCENT: RangeInclusive<u64> = 0..=100;
/// Far above what any server holds at once; a larger number is a slip.
pub(crate) const CONCURRENCY: RangeInclusive<u64> = 0..=100_000;
/// A day: longer than any request that is not a connection left open.
pub(crate) const TIMEOUT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(24 * 3600);
pub(crate) const MAX_REQUESTS: RangeInclusive<u64> = 1..=1_000_000;
pub(crate) const MAX_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 40;
pub(crate) const MAX_WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
pub(crate) const REPLICAS: RangeInclusive<u64> = 0..=i32::MAX as u64;
/// A tag has a Service of its own, `<tag>-<endpoint>`, which has to be a DNS label: so much for both names.
pub(crate) const TAG_AND_NAME: usize = 62;
/// Names under it are Kubernetes' own.
pub(crate) const CLUSTER_DOMAIN: &str = "cluster.local";

/// Fields of `spec` that are part of the tree and not served, and what to say of them.
pub(crate) const NOT_SERVED: [(&str, &str); 4] = [
    ("match", "routing by header, cookie, path or method is not served"),
    ("sticky", "sticky sessions are not served"),
    ("shadow", "shadow traffic is not served"),
    ("rollout", "rollouts are not served; change `traffic` instead"),
];
pub(crate) const NO_FALLBACK: &str = "falling back is not served; `fail` is";
pub(crate) const ONE_PORT: &str = "more than one port is not served";
