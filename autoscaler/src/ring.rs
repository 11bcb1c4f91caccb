//! What is kept of a revision's past: its last 256 decisions and its last 64 wakes.
//!
//! Every decision is kept, but those in a row that say the same are one entry, with when it was first and last said and
//! how often: an hour idle is one line, and does not wash out how it came to that. "The same" is the wish, the reason
//! and the mode; what was seen and what bounded it are those of the last.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kpa::Decision;
use units::Moment;

/// Entries of decisions kept.
const DECISIONS: usize = 256;
/// Wakes kept.
const WAKES: usize = 64;

/// Decisions in a row that say the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Decided {
    /// When it was decided first.
    pub(crate) at: Moment,
    /// When it was decided last.
    pub(crate) until: Moment,
    /// How often.
    pub(crate) times: u32,
    /// The last of them.
    pub(crate) decision: Decision,
}

/// The last decisions, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Decisions(VecDeque<Decided>);

impl Decisions {
    /// Keeps a decision. The one before it, if it said something else; `None` within what is the same.
    pub(crate) fn keep(&mut self, now: Moment, decision: Decision) -> Change {
        let before = self.0.back_mut();
        let says = |decision: &Decision| (decision.want, decision.because, decision.seen.panicking);
        match before {
            Some(last) if says(&last.decision) == says(&decision) => {
                last.until = now;
                last.times = last.times.saturating_add(1);
                last.decision = decision;
                Change::Same
            }
            before => {
                let before = before.map(|last| last.decision);
                if self.0.len() == DECISIONS {
                    self.0.pop_front();
                }
                self.0.push_back(Decided { at: now, until: now, times: 1, decision });
                Change::From(before)
            }
        }
    }

    /// What is kept, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Decided> {
        self.0.iter()
    }

    /// The newest.
    pub(crate) fn last(&self) -> Option<&Decided> {
        self.0.back()
    }
}

/// Is a decision another than the one before?
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    /// It says the same.
    Same,
    /// It says something else than this one, or is the first.
    From(Option<Decision>),
}

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
    /// When there was a replica.
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
    use kpa::{Because, BurstRoom, Limits, Seen};
    use units::ReplicaCount;

    use super::*;

    fn decision(want: u32, because: Because) -> Decision {
        let none = ReplicaCount::ZERO;
        Decision {
            want: Some(ReplicaCount(want)),
            burst_room: BurstRoom(0),
            because,
            seen: Seen { stable: None, panic: None, ready: none, starting: none, held: 0, panicking: false },
            limits: Limits { min: none, max: None, rate_up: none, rate_down: none, wait: None },
        }
    }

    fn at(second: u64) -> Moment {
        Moment::from_unix_millis(second * 1_000)
    }

    #[test]
    fn an_hour_idle_is_one_entry_and_what_was_before_is_still_there() {
        let mut decisions = Decisions::default();
        let steady = decision(3, Because::Steady);
        assert_eq!(decisions.keep(at(0), steady), Change::From(None));
        assert_eq!(decisions.keep(at(2), decision(0, Because::Zero)), Change::From(Some(steady)));
        for second in (4..3_600).step_by(2) {
            assert_eq!(decisions.keep(at(second), decision(0, Because::Zero)), Change::Same);
        }
        let story: Vec<_> = decisions.iter().map(|kept| (kept.at, kept.until, kept.times)).collect();
        assert_eq!(story, [(at(0), at(0), 1), (at(2), at(3_598), 1_799)]);
    }

    #[test]
    fn the_oldest_go_first() {
        let mut decisions = Decisions::default();
        for second in 0..300 {
            let _ = decisions.keep(at(second), decision(u32::try_from(second).unwrap(), Because::Steady));
        }
        assert_eq!(decisions.iter().count(), DECISIONS);
        assert_eq!(decisions.iter().next().unwrap().at, at(300 - 256));
        assert_eq!(decisions.last().unwrap().at, at(299));
    }

    #[test]
    fn a_wake_that_ended_is_not_under_way() {
        let mut wakes = Wakes::default();
        let (asked_by, request_id) = ("a".into(), "".into());
        wakes.begin(Wake { at: at(1), asked_by, request_id, held: 1, ordered: None, started: None, end: None });
        wakes.under_way().unwrap().end = Some((at(2), WakeEnd::Ready));
        assert_eq!(wakes.under_way(), None);
        assert_eq!(wakes.iter().count(), 1);
    }
}
