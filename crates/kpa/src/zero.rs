//! The way to zero: what stands between an idle revision and its last replica's end.
//!
//! Asked only while nothing wants a replica. The caller switches the path, seals and patches; this says which is next.

use std::time::Duration;

use units::{Moment, ReplicaCount};

use crate::{Because, PathState, Policy, World};

/// How far a revision is on its way up or down. Each is counted from when it was first seen to be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// At zero, or going up without a ready replica so far.
    Activating,
    /// There are ready replicas, and they are wanted, or were within the stable window.
    Active { since: Moment },
    /// Nothing has wanted it for a whole stable window.
    Idle { since: Moment },
}

impl Activity {
    /// What it is now. `wanted`: does anything ask for a replica; `None` if that is not known.
    pub(crate) fn step(self, now: Moment, world: &World, wanted: Option<bool>, stable_window: Duration) -> Self {
        if world.scale.is_zero() {
            return Self::Activating;
        }
        match self {
            Self::Activating if !world.ready.is_zero() => Self::Active { since: now },
            Self::Active { .. } | Self::Idle { .. } if world.ready.is_zero() && wanted == Some(true) => {
                Self::Activating
            }
            Self::Idle { .. } if wanted == Some(true) => Self::Active { since: now },
            Self::Active { since } if wanted == Some(false) && stable_window <= now.since(since) => {
                Self::Idle { since: now }
            }
            Self::Activating | Self::Active { .. } | Self::Idle { .. } => self,
        }
    }
}

/// What to do with a revision that nothing wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It keeps so many for now.
    Keep { want: ReplicaCount, because: Because, wait: Option<Duration>, path: PathWish },
    /// Seal it.
    Seal,
    /// It is there.
    Zero,
}

/// Which path a stage is to be waited out on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathWish {
    /// As burst room says.
    ByRoom,
    /// Through the activators, or a late request finds nobody.
    Proxied,
}

/// The stage that a revision is in. `in_flight`: requests that its reporters last said to be there.
pub(crate) fn stage(now: Moment, activity: Activity, in_flight: u32, policy: &Policy, world: &World) -> Stage {
    let one = ReplicaCount(1);
    if !policy.scale_to_zero {
        return Stage::Keep { want: one, because: Because::ScalingDisabled, wait: None, path: PathWish::ByRoom };
    }
    if world.scale.is_zero() {
        return Stage::Zero;
    }
    let idle_since = match activity {
        Activity::Idle { since } => since,
        // Nothing has been ready yet: a start is not cut short because whoever wanted it has left.
        Activity::Activating => {
            let because = Because::IdleUntilWindowEnds;
            return Stage::Keep { want: world.scale, because, wait: None, path: PathWish::ByRoom };
        }
        Activity::Active { since } => {
            let wait = remaining(policy.stable_window, now.since(since));
            return Stage::Keep { want: one, because: Because::IdleUntilWindowEnds, wait, path: PathWish::ByRoom };
        }
    };
    let keep_behind_activators = |because, wait| Stage::Keep { want: one, because, wait, path: PathWish::Proxied };
    let PathState::Proxied { since: proxied_since, acknowledged: Some(_) } = world.path else {
        return keep_behind_activators(Because::WaitingForActivators, None);
    };
    let retention = if policy.reachable { policy.retention } else { Duration::ZERO };
    if let Some(wait) = remaining(retention, now.since(idle_since)) {
        return keep_behind_activators(Because::Retention, Some(wait));
    }
    // Counted from the switch of the path, not from when it fell idle: where the activators were in the path all along,
    // there is nothing that routers could still have to learn.
    if let Some(wait) = remaining(policy.grace, now.since(proxied_since)) {
        return keep_behind_activators(Because::Grace, Some(wait));
    }
    if 0 < in_flight {
        return keep_behind_activators(Because::HeldRequests, None);
    }
    Stage::Seal
}

/// The stage of a revision whose start has failed: nothing is ready, so there is nothing to wait for but the promise.
pub(crate) fn stage_of_failed(policy: &Policy, world: &World) -> Stage {
    match world.path {
        _ if world.scale.is_zero() => Stage::Zero,
        PathState::Proxied { acknowledged: Some(_), .. } if policy.scale_to_zero => Stage::Seal,
        PathState::Proxied { .. } | PathState::Direct => {
            Stage::Keep { want: world.scale, because: Because::StartFailed, wait: None, path: PathWish::Proxied }
        }
    }
}

fn remaining(whole: Duration, spent: Duration) -> Option<Duration> {
    whole.checked_sub(spent).filter(|rest| !rest.is_zero())
}
