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
pub const CONCURRENCY: RangeInclusive<u64> = 0..=100_000;
/// A day: longer than any request that is not a connection left open.
pub const TIMEOUT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(24 * 3600);
pub(crate) const MAX_REQUESTS: RangeInclusive<u64> = 1..=1_000_000;
pub(crate) const MAX_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 40;
pub(crate) const MAX_WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
pub(crate) const REPLICAS: RangeInclusive<u64> = 0..=i32::MAX as u64;
/// Each is looked at for each request, until one fits.
pub(crate) const MATCHES: RangeInclusive<u64> = 0..=32;
/// Regular expressions of one endpoint together: all endpoints share the activators that try them, with every request.
pub(crate) const REGEXES: usize = 8;
/// The name of a header or a cookie, and what its value or a path is compared with.
pub(crate) const LONGEST_MATCH: u64 = 256;
pub(crate) const LONGEST_METHOD: u64 = 32;
/// What RFC 9110 calls a token, but for the apostrophe: a rule of CEL stands in those.
pub(crate) const TOKEN: &str = "^[-!#$%&*+.^_`|~0-9A-Za-z]+$";
pub(crate) const TOKEN_WORDS: &str = "letters, digits and -!#$%&*+.^_`|~";
pub(crate) const METHOD_WORDS: &str = "a method such as GET or POST, in capitals";
pub(crate) const ONE_COMPARISON: &str = "exactly one of exact, prefix and regex";
pub(crate) const PATH_WORDS: &str = "a path begins with / and ends before the query";
pub(crate) const ANY_CONDITION: &str = "at least one of header, cookie, path and method";
pub(crate) const ONE_KEY: &str = "exactly one of header, cookie and clientAddress";
pub(crate) const ONLY_TRUE: &str = "true, or leave it out";
/// Each is a copy of every request, at the cost of all of them.
pub(crate) const SHADOWS: RangeInclusive<u64> = 0..=4;
pub(crate) const SHADOW_IS_NO_TARGET: &str =
    "a revision that is not in traffic: copies would count into the demand of one that is";
pub(crate) const TOLERANCE: RangeInclusive<f64> = 0.0..=1.0;
pub(crate) const IGNORED: RangeInclusive<u64> = 0..=32;
pub(crate) const POINTER: &str = "a JSON pointer, which begins with /";
pub(crate) const SET_COOKIE: &str = "setCookie is said of a cookie";
/// A tag has a Service of its own, `<tag>-<endpoint>`, which has to be a DNS label: so much for both names.
pub(crate) const TAG_AND_NAME: usize = 62;
/// Names under it are Kubernetes' own.
pub(crate) const CLUSTER_DOMAIN: &str = "cluster.local";

/// Fields of `spec` that are part of the tree and not served, and what to say of them.
pub(crate) const NOT_SERVED: [(&str, &str); 1] = [("rollout", "rollouts are not served; change `traffic` instead")];
pub(crate) const ONE_PORT: &str = "more than one port is not served";
