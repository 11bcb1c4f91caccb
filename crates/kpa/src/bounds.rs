//! The least and the most.

use units::ReplicaCount;

use crate::{Because, Policy};

/// What a wish is taken within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Never fewer.
    pub min: ReplicaCount,
    /// Which rule says so.
    pub because: Because,
    /// Never more; `None` for no limit.
    pub max: Option<ReplicaCount>,
}

impl Bounds {
    /// Those in force. Of an unreachable revision nothing is kept; the initial scale counts until it was reached once.
    pub fn of(policy: &Policy, initialized: bool) -> Self {
        let (min, because) = if !policy.reachable {
            (ReplicaCount::ZERO, Because::Minimum)
        } else if !initialized && 1 < policy.initial.0 && policy.min < policy.initial {
            (policy.initial, Because::InitialScale)
        } else {
            (policy.min, Because::Minimum)
        };
        Self { min, because, max: policy.max }
    }

    /// The number to have instead of `count`, which asks for the minimum first: where settings of two places
    /// contradict, what is too low gets the minimum, even if that is above the maximum.
    pub fn apply(self, count: ReplicaCount) -> ReplicaCount {
        match self.max {
            _ if count < self.min => self.min,
            Some(max) if max < count => max,
            Some(_) | None => count,
        }
    }
}
