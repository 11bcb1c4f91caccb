//! What is kept of a revision's wakes: the last 64. Its decisions are kept by [`kpa::Decisions`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use units::Moment;

/// Wakes kept.
const WAKES: usize = 64;

/// A way from zero to the first ready replica.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wake {
    /// When it was first heard of.
    pub(crate) at: Moment,
    /// The activator that asked first.
    pub(crate) asked_by: Arc<str>,
    /// `x-request-id` of the request that had waited longest then; empty if it was not said.
    pub(crate) request_id: Arc<str>,
    /// The most requests that were held during it.
    pub(crate) held: u32,
    /// When replicas had been ordered.
    pub(crate) ordered: Option<Moment>,
    /// When there was a replica, running or not.
    pub(crate) made: Option<Moment>,
    /// When a replica's process ran.
    pub(crate) started: Option<Moment>,
    /// How it ended, and when.
    pub(crate) end: Option<(Moment, WakeEnd)>,
}

impl Wake {
    /// How long after its beginning something was.
    pub(crate) fn after(&self, moment: Moment) -> Duration {
        moment.since(self.at)
    }
}

/// How a wake ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum WakeEnd {
    /// A replica became ready.
    Ready,
    /// The start failed, and why.
    Failed(Arc<str>),
    /// Nobody waited any more before a replica was ready, and the revision went back to zero.
    Abandoned,
}

impl WakeEnd {
    /// As in labels and JSON.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Ready => "served",
            Self::Failed(_) => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The last wakes, oldest first. At most the newest is under way.
#[derive(Debug, Default)]
pub(crate) struct Wakes(VecDeque<Wake>);

impl Wakes {
    /// Keeps a new one.
    pub(crate) fn begin(&mut self, wake: Wake) {
        if self.0.len() == WAKES {
            self.0.pop_front();
        }
        self.0.push_back(wake);
    }

    /// The one that is under way.
    pub(crate) fn under_way(&mut self) -> Option<&mut Wake> {
        self.0.back_mut().filter(|wake| wake.end.is_none())
    }

    /// Is one under way?
    pub(crate) fn last_is_under_way(&self) -> bool {
        self.0.back().is_some_and(|wake| wake.end.is_none())
    }

    /// What is kept, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Wake> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Moment {
        Moment::from_unix_millis(second * 1_000)
    }

    #[test]
    fn a_wake_that_ended_is_not_under_way() {
        let mut wakes = Wakes::default();
        let (asked_by, request_id) = ("a".into(), "".into());
        wakes.begin(Wake {
            at: at(1),
            asked_by,
            request_id,
            held: 1,
            ordered: None,
            made: None,
            started: None,
            end: None,
        });
        wakes.under_way().unwrap().end = Some((at(2), WakeEnd::Ready));
        assert_eq!(wakes.under_way(), None);
        assert_eq!(wakes.iter().count(), 1);
    }
}
