//! One revision, everything together: readings in, a decision and the next step out.

use std::time::Duration;

use units::{Moment, ReplicaCount};

use crate::{ActivatorReading, Because, BurstRoom, Decision, Limits, Policy, Rules, Seen, SidecarReading};

/// How often a decision is taken anew at the latest, as in Knative.
pub const TICK: Duration = Duration::from_secs(2);

/// What the scaler cannot know from readings: how the revision stands in the world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct World {
    /// Replicas that are ready.
    pub ready: ReplicaCount,
    /// Replicas on their way up.
    pub starting: ReplicaCount,
    /// What the workload is set to (`spec.replicas`).
    pub scale: ReplicaCount,
    /// Which way requests take.
    pub path: PathState,
    /// Does nothing forbid the direct path (several revisions, a replica without a sidecar or with old settings,
    /// `path: proxied`)? If not, [`Step::GoDirect`] is never the answer, and a direct path goes back to proxied.
    pub direct_allowed: bool,
    /// Requests held at activators without a usable replica: the level of a wake. 0 when there are none.
    pub held: u32,
    /// May it be scaled below what it was found with: has a request come through Rouse, or has its owner said so?
    pub adopted: bool,
    /// Does somebody reach its replicas past Rouse?
    pub bypassed: bool,
    /// Has its start failed, and is the next try not due yet (`StartJudge`)?
    pub start_failed: bool,
    /// Is its workload not there?
    pub missing: bool,
}

/// Which way requests take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathState {
    /// From the Service straight to the replicas.
    Direct,
    /// Through the activators.
    Proxied {
        /// Since when.
        since: Moment,
        /// Since when every activator that exists has acknowledged the route; `None` while one has not.
        acknowledged: Option<Moment>,
    },
}

/// What to do, why, and when to ask again.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "a decision changes nothing until someone applies it"]
pub struct Outcome {
    /// How many, and why.
    pub decision: Decision,
    /// What to do now. The caller does it and tells of the result in the next [`World`].
    pub step: Step,
    /// When to ask again at the latest; sooner if something new is heard.
    pub ask_again: Duration,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is to be done.
    Rest,
    /// Set the workload to so many. Never 0: that needs a [`Step::Seal`].
    Scale(ReplicaCount),
    /// Put the activators in the path.
    GoProxied,
    /// Take the activators out of the path.
    GoDirect,
    /// Idle, and every wait is over: seal, and with the seal set the workload to 0.
    Seal,
}

/// One revision's windows and state.
#[derive(Debug)]
pub struct Scaler {
    policy: Policy,
    rules: Rules,
}

impl Scaler {
    /// A scaler without history. `ready` replicas were found.
    pub fn new(policy: Policy, rules: Rules, now: Moment, ready: ReplicaCount) -> Self {
        let _ = (now, ready);
        Self { policy, rules }
    }

    /// New settings, in force from now on. What was observed is kept.
    pub fn set_policy(&mut self, policy: Policy, now: Moment) {
        let _ = now;
        self.policy = policy;
    }

    /// The settings in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A sidecar's counters arrived.
    pub fn sidecar(&mut self, now: Moment, replica: &str, reading: SidecarReading) {
        let _ = (now, replica, reading);
    }

    /// An activator's counters for this revision arrived.
    pub fn activator(&mut self, now: Moment, activator: &str, reading: ActivatorReading) {
        let _ = (now, activator, reading);
    }

    /// A frame of this activator arrived, with or without anything about this revision.
    pub fn activator_heard(&mut self, now: Moment, activator: &str) {
        let _ = (now, activator);
    }

    /// This activator exists, says the catalogue; it is waited for like one that was heard.
    pub fn expect_activator(&mut self, now: Moment, activator: &str) {
        let _ = (now, activator);
    }

    /// The replica is gone.
    pub fn forget_replica(&mut self, replica: &str) {
        let _ = replica;
    }

    /// The activator is gone, or out of every path for the grace.
    pub fn forget_activator(&mut self, activator: &str) {
        let _ = activator;
    }

    /// How many replicas, why, and what to do about it.
    pub fn decide(&mut self, now: Moment, world: &World) -> Outcome {
        let _ = (now, self.rules);
        let wake = (0 < world.held).then(|| ReplicaCount(self.policy.min.0.max(1)));
        Outcome {
            decision: Decision {
                want: wake,
                burst_room: BurstRoom(-1),
                because: if wake.is_some() { Because::Waking } else { Because::NoData },
                seen: Seen {
                    stable: None,
                    panic: None,
                    ready: world.ready,
                    starting: world.starting,
                    held: world.held,
                    panicking: false,
                },
                limits: Limits {
                    min: self.policy.min,
                    max: self.policy.max,
                    rate_up: world.scale,
                    rate_down: world.scale,
                    wait: None,
                },
            },
            step: match wake {
                Some(want) if world.scale < want => Step::Scale(want),
                Some(_) | None => Step::Rest,
            },
            ask_again: TICK,
        }
    }
}
