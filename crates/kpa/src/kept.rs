//! What is kept of a revision's past decisions: the last 256.
//!
//! Every decision is kept, but those in a row that say the same are one entry, with when it was first and last said and
//! how often: an hour idle is one line, and does not wash out how it came to that. "The same" is the wish, the reason
//! and the mode; what was seen and what bounded it are those of the last.

use std::collections::VecDeque;

use units::Moment;

use crate::Decision;

/// Entries kept.
const ENTRIES: usize = 256;

/// Decisions in a row that say the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decided {
    /// When it was decided first.
    pub at: Moment,
    /// When it was decided last.
    pub until: Moment,
    /// How often.
    pub times: u32,
    /// The last of them.
    pub decision: Decision,
}

/// The last decisions, oldest first. Its room grows with what has been said, up to the 256 entries; from then on keeping
/// one allocates nothing.
#[derive(Debug, Default)]
pub struct Decisions(VecDeque<Decided>);

impl Decisions {
    /// Keeps a decision. The one before it, if it said something else; `None` within what is the same.
    pub fn keep(&mut self, now: Moment, decision: Decision) -> Change {
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
                if self.0.len() == ENTRIES {
                    self.0.pop_front();
                }
                self.0.push_back(Decided { at: now, until: now, times: 1, decision });
                Change::From(before)
            }
        }
    }

    /// What is kept, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Decided> {
        self.0.iter()
    }

    /// The newest.
    pub fn last(&self) -> Option<&Decided> {
        self.0.back()
    }
}

/// Is a decision another than the one before?
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// It says the same.
    Same,
    /// It says something else than this one, or is the first.
    From(Option<Decision>),
}

#[cfg(test)]
mod tests {
    use units::ReplicaCount;

    use super::*;
    use crate::{Because, BurstRoom, Limits, Seen};

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
        assert_eq!(decisions.iter().count(), ENTRIES);
        assert_eq!(decisions.iter().next().unwrap().at, at(300 - 256));
        assert_eq!(decisions.last().unwrap().at, at(299));
    }
}
