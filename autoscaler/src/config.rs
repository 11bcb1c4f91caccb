//! What the autoscaler runs with, past parsing: nothing here is a string, and nothing is checked again.

use std::time::Duration;

/// How an autoscaler runs. The settings of revisions are not here; they are live, see `settings`.
#[derive(Clone, Debug)]
pub struct Config {
    /// The longest pause between two decisions for one revision. Knative's tick is 2 s; windows have buckets of one
    /// second, so deciding oftener gains nothing, and what cannot wait (a wake) does not.
    pub tick: Duration,
    /// Within which a peer must say who it is, and within which a write to it must end.
    pub peer_patience: Duration,
    /// After which a silent stream is taken for broken: an activator speaks each second, a sidecar every 5 s at least.
    pub peer_silence: Duration,
    /// Whether what piles up while replicas start is worked off instead of taken for load: [`kpa::Rules::startup_aware`].
    pub startup_aware: bool,
}

impl Config {
    /// What every program runs with.
    pub fn usual() -> Self {
        Self {
            tick: Duration::from_secs(2),
            peer_patience: Duration::from_secs(5),
            // Three of a sidecar's longest pauses: one frame delayed by a busy machine cuts nobody off.
            peer_silence: Duration::from_secs(15),
            startup_aware: false,
        }
    }
}
