//! Cumulative readings in, Knative's per-second stats out.

use units::Incarnation;

/// What a sidecar has counted since its incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SidecarReading {
    /// Counters begin again at zero with each.
    pub incarnation: Incarnation,
    /// Time on the sidecar's own clock since then, in microseconds.
    pub elapsed_us: u64,
    /// Requests that arrived, in all.
    pub requests: u64,
    /// Of those, through an activator.
    pub proxied_requests: u64,
    /// Request-microseconds, in all.
    pub concurrency_us: u64,
    /// Of those, through an activator.
    pub proxied_concurrency_us: u64,
    /// In flight at this instant, upgraded ones included.
    pub in_flight: u32,
}

/// What an activator has counted for one revision since its incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivatorReading {
    /// Counters begin again at zero with each.
    pub incarnation: Incarnation,
    /// Time on the activator's own clock since then, in microseconds.
    pub elapsed_us: u64,
    /// Requests that arrived, in all.
    pub requests: u64,
    /// Request-microseconds, held or forwarded, in all.
    pub concurrency_us: u64,
    /// Held or forwarded at this instant.
    pub in_flight: u32,
}
