//! Who leads among the autoscalers: what one of them does next. Pure; `lease` carries it out.
//!
//! The record is a Lease, and every write of it expects the version that was seen, so that of two writers one loses.
//!
//! - Whoever leads writes it anew every [`Timing::retry`], and may act until [`Timing::renew`] after the moment before the
//!   last write that it knows to be done was sent.
//! - Others take it when nobody holds it; or when it has not changed for [`Timing::lease`] by their own clock, since they
//!   first saw it. That is later than the moment at which it was written, and so no earlier than lease minus renew after
//!   the leader has stopped: by the write whose version they saw it may have prolonged its leadership, and if by a later
//!   one, theirs finds another version.
//!
//! Times in the record are for people; no clock is compared with another. Clocks are to run equally fast, within the
//! ratio of the two times.
//!
//! The epoch is in the record, written with the holder: each leadership has a higher one than all that were written
//! before, and than any that an activator has seen.

use std::sync::Arc;
use std::time::Duration;

use platform::Leadership;
use units::Moment;

/// How long things take. Each is longer than the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// A record that has not changed for so long may be taken.
    pub(crate) lease: Duration,
    /// A leader acts for so long after its last renewal.
    pub(crate) renew: Duration,
    /// A leader renews so often, spread by a fifth.
    pub(crate) retry: Duration,
    /// The pause after a call that failed.
    pub(crate) pause: Duration,
    /// Whoever leaves tries for so long to let go of the record.
    pub(crate) farewell: Duration,
}

impl Timing {
    /// Those of Kubernetes' own controllers. A call is given 1 s, less than lease minus renew.
    pub(crate) const ROUSE: Self = Self {
        lease: Duration::from_secs(15),
        renew: Duration::from_secs(10),
        retry: Duration::from_secs(2),
        pause: Duration::from_millis(500),
        farewell: Duration::from_secs(2),
    };
}

/// What the Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Who holds it; empty if nobody does.
    pub(crate) holder: Arc<str>,
    /// The number of the newest leadership.
    pub(crate) epoch: u64,
}

/// A record and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Versioned {
    pub(crate) record: Record,
    pub(crate) version: Arc<str>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Read the record.
    Read,
    /// Write the first record.
    Create(Record),
    /// Write the record, if it is still at this version.
    Replace(Versioned),
    /// Nothing before this moment, unless the record changes, an epoch is heard of, or it is time to leave.
    Wait(Moment),
    /// Nothing any more: it has left.
    Done,
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It was done, and this is the record now.
    Done(Versioned),
    /// It was not done: somebody else's was before it.
    Conflict,
    /// It was not done: there is no such record.
    Missing,
    /// It was not done, for another reason.
    Refused,
    /// It may or may not have been done.
    Unknown,
}

/// What is known of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sight {
    /// Nothing that counts: it is to be read.
    Stale,
    /// There is none, first seen so at this moment.
    Missing { since: Moment },
    /// It was this at the moment it was first seen, and nothing else has been seen since.
    Seen { is: Versioned, since: Moment },
}

/// One that takes part.
#[derive(Clone, Debug)]
pub(crate) struct Elector {
    me: Arc<str>,
    timing: Timing,
    sight: Sight,
    /// The highest epoch written or heard of.
    top: u64,
    /// The last holder that was seen was somebody else, who may not know that the record is gone.
    held_by_another: bool,
    /// Epoch and renew deadline of the leadership that was written last, unless it is known to be over.
    led: Option<(u64, Moment)>,
    /// When to renew, unless something happens.
    renew_at: Moment,
    /// Nothing is tried before this, since something failed.
    not_before: Moment,
    /// Leaves, and has given up on the record by then.
    leaving: Option<Moment>,
}

impl Elector {
    /// `me` is never used again by anybody else, also not by this pod after a restart.
    pub(crate) fn new(me: Arc<str>, timing: Timing, now: Moment) -> Self {
        Self {
            me,
            timing,
            sight: Sight::Stale,
            top: 0,
            held_by_another: false,
            led: None,
            renew_at: now,
            not_before: now,
            leaving: None,
        }
    }

    /// Does it lead, and until when? An epoch that others have already seen a higher one than leads nobody.
    pub(crate) fn leadership(&self, now: Moment) -> Leadership {
        match self.led {
            Some((epoch, until)) if now < until && self.top <= epoch => Leadership::Leading { epoch, until },
            _ => Leadership::Following,
        }
    }

    /// An activator has seen this epoch.
    pub(crate) fn heard_of(&mut self, epoch: u64) {
        self.top = self.top.max(epoch);
    }

    /// Stops to lead, at once, and lets go of the record.
    pub(crate) fn leave(&mut self, now: Moment) {
        if self.leaving.is_none() {
            self.leaving = Some(now.plus(self.timing.farewell));
            self.led = None;
            self.not_before = now;
        }
    }

    /// Has it been told to leave?
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Whether what a watch says may be news. To a leader it is none: what it wrote itself is newer.
    pub(crate) fn listens(&self, now: Moment) -> bool {
        self.leadership(now) == Leadership::Following && self.leaving.is_none()
    }

    /// The record was seen; `None`: there is none.
    pub(crate) fn saw(&mut self, now: Moment, record: Option<Versioned>) {
        let Some(is) = record else {
            self.led = None;
            if !matches!(self.sight, Sight::Missing { .. }) {
                self.sight = Sight::Missing { since: now };
            }
            return;
        };
        self.top = self.top.max(is.record.epoch);
        self.held_by_another = !is.record.holder.is_empty() && is.record.holder != self.me;
        if is.record.holder != self.me {
            self.led = None;
        }
        match &self.sight {
            Sight::Seen { is: known, .. } if known.version == is.version => {}
            Sight::Stale | Sight::Missing { .. } | Sight::Seen { .. } => self.sight = Sight::Seen { is, since: now },
        }
    }

    /// The record could not be read.
    pub(crate) fn saw_nothing(&mut self, now: Moment) {
        self.sight = Sight::Stale;
        self.not_before = now.plus(self.timing.pause);
    }

    /// A write ended that was sent at `sent`, or later. `spread`, 0 to 1, keeps two from moving in step.
    pub(crate) fn wrote(&mut self, sent: Moment, now: Moment, end: Written, spread: f64) {
        match end {
            Written::Done(is) => {
                let Record { holder, epoch } = is.record.clone();
                self.saw(now, Some(is));
                if holder == self.me && self.leaving.is_none() {
                    self.led = Some((epoch, sent.plus(self.timing.renew)));
                    self.renew_at = sent.plus(self.timing.retry.mul_f64(1.0 + 0.2 * spread.clamp(0.0, 1.0)));
                }
            }
            // Whose write it was is read: it may have been an earlier one of ours that no answer came to.
            Written::Conflict => {
                self.sight = Sight::Stale;
                self.not_before = now.plus(self.timing.pause / 10);
            }
            // Not even a first one can be written where there is no namespace for it.
            Written::Missing if matches!(self.sight, Sight::Missing { .. }) => {
                self.not_before = now.plus(self.timing.retry);
            }
            Written::Missing => self.saw(now, None),
            Written::Unknown => self.saw_nothing(now),
            Written::Refused => {
                self.sight = Sight::Stale;
                self.not_before = now.plus(self.timing.retry);
            }
        }
    }

    /// What to do next.
    pub(crate) fn next(&self, now: Moment) -> Act {
        if let Some(give_up) = self.leaving {
            return self.let_go(now, give_up);
        }
        let deadline = match self.leadership(now) {
            Leadership::Leading { until, .. } => Some(until),
            Leadership::Following => None,
        };
        let wait = |until: Moment| Act::Wait(deadline.map_or(until, |deadline| deadline.min(until)));
        if now < self.not_before {
            return wait(self.not_before);
        }
        match &self.sight {
            Sight::Stale => Act::Read,
            Sight::Missing { since } => {
                let free = if self.held_by_another { since.plus(self.timing.lease) } else { *since };
                if now < free { wait(free) } else { Act::Create(self.new_leadership()) }
            }
            Sight::Seen { is, .. } if is.record.holder == self.me => match self.leadership(now) {
                Leadership::Leading { .. } if now < self.renew_at => wait(self.renew_at),
                Leadership::Leading { .. } => Act::Replace(is.clone()),
                Leadership::Following => self.take(is),
            },
            Sight::Seen { is, since } => {
                let free = if is.record.holder.is_empty() { *since } else { since.plus(self.timing.lease) };
                if now < free { wait(free) } else { self.take(is) }
            }
        }
    }

    fn let_go(&self, now: Moment, give_up: Moment) -> Act {
        if give_up <= now {
            return Act::Done;
        }
        if now < self.not_before {
            return Act::Wait(self.not_before.min(give_up));
        }
        match &self.sight {
            Sight::Stale => Act::Read,
            Sight::Seen { is, .. } if is.record.holder == self.me => {
                let record = Record { holder: Arc::from(""), epoch: is.record.epoch };
                Act::Replace(Versioned { record, version: Arc::clone(&is.version) })
            }
            Sight::Missing { .. } | Sight::Seen { .. } => Act::Done,
        }
    }

    fn take(&self, is: &Versioned) -> Act {
        Act::Replace(Versioned { record: self.new_leadership(), version: Arc::clone(&is.version) })
    }

    fn new_leadership(&self) -> Record {
        Record { holder: Arc::clone(&self.me), epoch: self.top.saturating_add(1) }
    }
}

#[cfg(test)]
mod tests;
