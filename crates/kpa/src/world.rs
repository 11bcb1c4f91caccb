//! What a scaler is told of the world, and what it answers.

use std::time::Duration;

use units::{Moment, ReplicaCount};

use crate::Decision;

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
    /// Do others write its scale again and again, so that it is only to be raised?
    pub contested: bool,
    /// Has its start failed, and is the next try not due yet ([`crate::StartJudge`])?
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
        /// Since when. Grace counts from here.
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
    /// When to ask again at the latest; sooner if something new is heard. Never zero.
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
    /// Idle, and every wait is over: seal, and under the seal set the workload to 0.
    Seal,
}
