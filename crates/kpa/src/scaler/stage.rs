//! How far a revision that nothing wants has come on its way to zero, in this world: `zero`'s rules, and what Knative
//! has no word for.

use std::time::Duration;

use units::{Moment, ReplicaCount};

use crate::zero::{Unwanted, Way, remaining, way};
use crate::{Because, PathState, Policy, Status, World};

/// A status, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) status: Status,
    pub(super) since: Moment,
}

impl Standing {
    /// What it is when so many are wanted; see [`Status::after`].
    pub(super) fn after(self, now: Moment, want: Option<ReplicaCount>, ready: ReplicaCount, up: ReplicaCount) -> Self {
        let status = self.status.after(want, ready, up);
        if status == self.status { self } else { Self { status, since: now } }
    }
}

/// What to do with a revision that nothing wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It keeps so many.
    Keep { want: ReplicaCount, because: Because, wait: Option<Duration>, path: PathWish },
    /// It is out of use from now on; ask again.
    Deactivate,
    /// Seal it.
    Seal,
    /// It is there.
    Zero,
}

/// Which path a stage is to be waited out on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathWish {
    /// As burst room says.
    ByRoom,
    /// Through the activators, or a late request finds nobody.
    Proxied,
}

impl Stage {
    fn keep(want: ReplicaCount, because: Because, wait: Option<Duration>) -> Self {
        Self::Keep { want, because, wait, path: PathWish::ByRoom }
    }

    fn last_one_behind_activators(because: Because, wait: Option<Duration>) -> Self {
        Self::Keep { want: ReplicaCount(1), because, wait, path: PathWish::Proxied }
    }
}

/// The stage of a revision that nothing wants. `in_flight`: requests that its reporters last said to be there.
pub(super) fn stage(now: Moment, standing: Standing, in_flight: u32, policy: &Policy, world: &World) -> Stage {
    let (proxied_for, acknowledged) = match world.path {
        PathState::Direct => (None, false),
        PathState::Proxied { since, acknowledged } => (Some(now.since(since)), acknowledged.is_some()),
    };
    let unwanted = Unwanted {
        status: standing.status,
        status_for: now.since(standing.since),
        // Whether a start has failed is judged by crashes too, and elsewhere.
        activation_timeout: Duration::MAX,
        proxied_for,
    };
    let zero = world.scale.is_zero();
    match way(&unwanted, policy, acknowledged) {
        Way::One(None) => Stage::keep(ReplicaCount(1), Because::ScalingDisabled, None),
        _ if zero => Stage::Zero,
        Way::One(rest) => Stage::keep(ReplicaCount(1), Because::IdleUntilWindowEnds, rest),
        // A start is not cut short because whoever wanted it has left.
        Way::Leave(_) => Stage::keep(world.scale, Because::IdleUntilWindowEnds, None),
        Way::Deactivate => Stage::Deactivate,
        Way::AskActivators => Stage::last_one_behind_activators(Because::WaitingForActivators, None),
        Way::Retain(rest) => Stage::last_one_behind_activators(Because::Retention, Some(rest)),
        Way::Grace(rest) => Stage::last_one_behind_activators(Because::Grace, Some(rest)),
        // A path that was switched late gets its whole grace, and what is still there is waited for.
        Way::Zero => match remaining(policy.grace, proxied_for.unwrap_or_default()) {
            Some(rest) => Stage::last_one_behind_activators(Because::Grace, Some(rest)),
            None if 0 < in_flight => Stage::last_one_behind_activators(Because::HeldRequests, None),
            None => Stage::Seal,
        },
    }
}

/// The stage of a revision whose start has failed: nothing is ready, so there is nothing to wait for but the promise.
pub(super) fn stage_of_failed(policy: &Policy, world: &World) -> Stage {
    match world.path {
        _ if world.scale.is_zero() => Stage::Zero,
        PathState::Proxied { acknowledged: Some(_), .. } if policy.scale_to_zero => Stage::Seal,
        PathState::Proxied { .. } | PathState::Direct => {
            Stage::Keep { want: world.scale, because: Because::StartFailed, wait: None, path: PathWish::Proxied }
        }
    }
}
