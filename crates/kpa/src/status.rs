//! Whether a revision is on its way up, in use, or out of use. The waits of the way to zero are counted from changes of
//! this.

use units::ReplicaCount;

/// As in the condition `Active` of a Knative autoscaler. A change of the reason is a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// On its way up; fewer replicas are ready than must be.
    Activating {
        /// Has this been seen, so that requests are known to be waiting for it?
        queued: bool,
    },
    /// In use.
    Active,
    /// Out of use.
    Inactive {
        /// It never got as far as to be in use.
        timed_out: bool,
    },
}

/// How many replicas must be ready for a revision to count as up: its initial scale, and once that was reached one.
pub fn threshold(min: ReplicaCount, initial: ReplicaCount, initialized: bool) -> ReplicaCount {
    min.max(if initialized { ReplicaCount(1) } else { initial })
}

impl Status {
    /// What it is when so many are wanted (`None`: not known) and ready.
    #[must_use]
    pub fn after(self, want: Option<ReplicaCount>, ready: ReplicaCount, threshold: ReplicaCount) -> Self {
        let (activating, inactive) = match self {
            Self::Activating { .. } => (true, false),
            Self::Active => (false, false),
            Self::Inactive { .. } => (false, true),
        };
        if want == Some(ReplicaCount::ZERO) || threshold.is_zero() {
            return Self::Inactive { timed_out: activating && !threshold.is_zero() };
        }
        let in_use = want.is_some() || !inactive;
        match (in_use, ready < threshold) {
            (true, true) => Self::Activating { queued: true },
            (true, false) => Self::Active,
            (false, true) => Self::Inactive { timed_out: false },
            (false, false) => self,
        }
    }
}
