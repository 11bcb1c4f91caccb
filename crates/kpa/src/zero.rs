//! The way to zero: what stands between a revision that nothing wants and the end of its last replica.
//!
//! Knative's rules, asked only while the bounded wish is zero. The caller switches the path, asks the activators, seals
//! and patches; this says which is next. Reasons to wait that Knative has no word for are in `scaler`.

use std::time::Duration;

use crate::{Policy, Status};

/// How a revision that nothing wants stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwanted {
    /// On its way up, in use, or out of use.
    pub status: Status,
    /// For how long.
    pub status_for: Duration,
    /// How long a start may take. After that it is given up.
    pub activation_timeout: Duration,
    /// For how long the activators have certainly been in the path; `None` if they are not.
    pub proxied_for: Option<Duration>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is on its way up: leave it alone. To be asked again after this while.
    Leave(Duration),
    /// One replica is kept; for this while, if it is known.
    One(Option<Duration>),
    /// It is out of use from now on. Its replicas stay; the activators are put into the path.
    Deactivate,
    /// Before anything else: are the activators in the path, as far as anybody can tell?
    AskActivators,
    /// The last replica is kept for this while.
    Retain(Duration),
    /// Routers are given this while to learn of the path.
    Grace(Duration),
    /// Nothing stands in the way.
    Zero,
}

/// What comes next. `answered`: have the activators, asked after [`Way::AskActivators`], answered that they are in the
/// path? Where they always are, nobody asks.
pub fn way(unwanted: &Unwanted, policy: &Policy, answered: bool) -> Way {
    if !policy.scale_to_zero {
        return Way::One(None);
    }
    let spent = unwanted.status_for;
    match unwanted.status {
        Status::Activating { .. } if unwanted.activation_timeout < spent => return Way::Zero,
        Status::Activating { .. } => return Way::Leave(unwanted.activation_timeout),
        Status::Active => {
            let rest = remaining(policy.stable_window, spent);
            return rest.map_or(Way::Deactivate, |rest| Way::One(Some(rest)));
        }
        Status::Inactive { .. } => {}
    }
    if !answered {
        return Way::AskActivators;
    }
    let retention = if policy.reachable { policy.retention } else { Duration::ZERO };
    if policy.grace.max(retention) <= spent {
        return Way::Zero;
    }
    if let Some(rest) = remaining(retention, spent) {
        return Way::Retain(rest);
    }
    // Counted from the switch of the path, not from when it fell idle: where the activators were in the path all along,
    // there is nothing that routers could still have to learn.
    remaining(policy.grace, unwanted.proxied_for.unwrap_or_default()).map_or(Way::Zero, Way::Grace)
}

pub(crate) fn remaining(whole: Duration, spent: Duration) -> Option<Duration> {
    whole.checked_sub(spent).filter(|rest| !rest.is_zero())
}
