//! The activator's side of the seal, for one revision: may a request be forwarded right now?
//!
//! Before the last replica is taken away, the leading autoscaler asks every activator for a promise: forward nothing to
//! this revision for a few seconds. [`Seal`] gives that promise, keeps it, and knows what may be believed afterwards. It
//! leaves out the line of held requests, the probes and the wakes, which are the activator's.
//!
//! **How to drive it.** One `Seal` a revision, behind the lock that also guards the revision's counts of held and
//! forwarded requests:
//! 1. Take the highest epoch heard on any stream (`Lead`, `Seal`; it is also what the next hello says), and for a `Seal`
//!    call [`Seal::asked`] with the counts of this instant. Send the verdict back on the stream that asked.
//! 2. For `Committed` and `Released` call [`Seal::ended`]; then try what is held again.
//! 3. Before a request is forwarded ask [`Seal::may_forward`], and raise the count of forwarded requests **under the same
//!    lock**. Count it until the last byte has gone: an upgraded connection is forwarded until it closes.
//! 4. What may not be forwarded is held; and while anything is held without a replica that may be used, that is said to
//!    every autoscaler as a wake, at once and then every 250 ms. The seal has no rule of its own for that.
//! 5. A `Hold` ends by time too: [`Seal::holds_until`] says when to look again.
//!
//! **Why it is enough.** The leader patches only while its own count of the time to live, begun when it *sent* the seal,
//! leaves room for the patch's time-out; ours begins later, at receipt. So once ours has passed, that patch has taken
//! effect or never will; a probe begun after that moment tells which. One moment says it all: before it, hold; after it,
//! believe only probes begun since. Where a commit was told the revision **is** at zero, and who was there before it is on
//! its way out, whatever it answers: such a replica has to answer once more when its leaving would have shown. The same holds for an activator that has just started: its predecessor may have made
//! a promise that it knows nothing of, so it begins as if it had promised at its start ([`Seal::new`]).

use std::time::Duration;

use units::Moment;

/// The longest promise that is ever made. An activator that starts where one ran before forwards nothing for this long,
/// so nothing longer can be promised for it.
pub const LONGEST_TTL: Duration = Duration::from_secs(3);

/// How long after a commit the platform may take to say of a replica that it leaves. Until then one that was there before
/// still answers its probes, and so proves nothing; after it, one that answers stays: zero was taken back before it was
/// carried out. With Kubernetes it is the way through the controllers of Deployments and ReplicaSets, most often some
/// 20 ms.
pub const LEAVING_SHOWS: Duration = Duration::from_secs(3);

/// Which round of asking: the leadership it belongs to, and its number within that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SealId {
    /// Grows with each leadership.
    pub epoch: u64,
    /// Grows with each round of one leadership and revision.
    pub seq: u64,
}

/// What is here for the revision, at this instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Here {
    /// Requests that wait for a replica.
    pub held: usize,
    /// Requests handed to a replica whose last byte has not gone yet, upgraded connections included.
    pub forwarded: usize,
}

/// What is answered to a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "the leader waits for it"]
pub enum Verdict {
    /// Nothing is here, and nothing will be forwarded until the time to live has passed or the end is told.
    Sealed,
    /// Something is held or forwarded, or more was asked than can be promised.
    Veto,
    /// It belongs to a leadership or a round that is over.
    Outdated,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The revision is at zero, or may be: every replica known until now is on its way out.
    Committed,
    /// Nothing was changed and nothing will be.
    Released,
}

/// May a request be forwarded?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "forwarding without looking at it breaks a promise"]
pub enum Forward {
    /// To any replica that is ready.
    Freely,
    /// To none. Hold it, and wake.
    Hold,
    /// Only to a replica that answered a probe begun after this moment, not at it. Once a replica did, it may be used like
    /// any other: nothing has to be reset. Until one did, hold and wake.
    OnlyAfterProbe {
        /// What began until then proves nothing.
        begun_after: Moment,
        /// When the revision was last taken to zero, if it was: of a replica known before, nothing proves anything until
        /// [`LEAVING_SHOWS`] later.
        zero: Option<Moment>,
    },
}

impl Forward {
    /// May this replica be used? `known_since`: when it was first heard of; `probe_begun`: when the newest probe that it
    /// answered began; `None` if none was.
    pub fn allows(self, known_since: Moment, probe_begun: Option<Moment>) -> bool {
        match self {
            Self::Freely => true,
            Self::Hold => false,
            Self::OnlyAfterProbe { begun_after, .. } => {
                let counts_from = self.counts_from(known_since);
                probe_begun.is_some_and(|begun| begun_after < begun && counts_from.is_none_or(|from| from <= begun))
            }
        }
    }

    /// From when on a probe of this replica says something, where that is later than for others: it was there when the
    /// revision was taken to zero. May be past.
    pub fn counts_from(self, known_since: Moment) -> Option<Moment> {
        let Self::OnlyAfterProbe { zero: Some(zero), .. } = self else { return None };
        (known_since < zero).then(|| zero.plus(LEAVING_SHOWS))
    }
}

/// What an activator has promised about one revision, and what it may believe since.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seal {
    /// The newest promise whose end has not been heard.
    promise: Option<Promise>,
    /// Nothing is forwarded before this moment, and from it on only to what was probed since.
    bar: Option<Moment>,
    /// When the revision was last at zero for certain.
    zero: Option<Moment>,
    /// The newest round heard of; older ones are stragglers.
    newest: SealId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Promise {
    id: SealId,
    until: Moment,
}

impl Seal {
    /// The state in which a program begins, also for a revision that it learns of later.
    ///
    /// `hold_until`: the program's start plus [`LONGEST_TTL`] where an activator may have run in its place before, or
    /// where a round may be under way that does not know of this one; that is: on a cluster, always. `None` where the
    /// leader lives and dies in the same process, so that no older promise can be open.
    pub fn new(hold_until: Option<Moment>) -> Self {
        Self { promise: None, bar: hold_until, zero: None, newest: SealId { epoch: 0, seq: 0 } }
    }

    /// A leader asks for a promise of `ttl` from now. `highest_epoch`: the highest heard of on any stream, for whatever
    /// revision.
    pub fn asked(&mut self, now: Moment, id: SealId, ttl: Duration, highest_epoch: u64, here: Here) -> Verdict {
        if id < self.newest || id.epoch < highest_epoch {
            return Verdict::Outdated;
        }
        if id == self.newest {
            return self.asked_again(now, id, here);
        }
        self.newest = id;
        if here.held != 0 || here.forwarded != 0 || LONGEST_TTL < ttl {
            return Verdict::Veto;
        }
        // Another leader's patch may still be under way under the older promise, and this one's leader knows nothing of
        // it: its end must not release both.
        self.bar = self.bar();
        self.promise = Some(Promise { id, until: now.plus(ttl) });
        Verdict::Sealed
    }

    /// The same question came twice. The promise is the first one, not longer; if it is over, it is not made again.
    fn asked_again(&self, now: Moment, id: SealId, here: Here) -> Verdict {
        match self.promise {
            Some(promise) if promise.id == id && now < promise.until && here.held == 0 => Verdict::Sealed,
            _ => Verdict::Veto,
        }
    }

    /// A leader tells how a round ended. What is not about the newest promise is passed over.
    pub fn ended(&mut self, now: Moment, id: SealId, ending: Ending) {
        let Some(promise) = self.promise.take_if(|promise| promise.id == id) else { return };
        if ending == Ending::Committed {
            // The patch took effect before now, and before the promise ended: the earlier of the two is enough.
            let at_the_latest = now.min(promise.until);
            self.bar = self.bar.max(Some(at_the_latest));
            self.zero = self.zero.max(Some(at_the_latest));
        }
    }

    /// May a request be forwarded now? Cheap: a few comparisons.
    pub fn may_forward(&self, now: Moment) -> Forward {
        match self.bar() {
            None => Forward::Freely,
            Some(bar) if now < bar => Forward::Hold,
            Some(bar) => Forward::OnlyAfterProbe { begun_after: bar, zero: self.zero },
        }
    }

    /// When a [`Forward::Hold`] of now ends by itself; `None` if there is none.
    pub fn holds_until(&self, now: Moment) -> Option<Moment> {
        self.bar().filter(|bar| now < *bar)
    }

    fn bar(&self) -> Option<Moment> {
        self.bar.max(self.promise.map(|promise| promise.until))
    }
}

#[cfg(test)]
mod tests;
