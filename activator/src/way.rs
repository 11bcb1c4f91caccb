//! Which revisions a request is led to, one after another: its own, and where the endpoint says `onUnavailable: fallback`
//! the others, if those before cannot be woken.
//!
//! A full line or a long wait sends nobody on: there a request would be served a little later, and a burst that is too much
//! for one revision would come down on the next. A tag is somebody's word for one revision, so it is that one or none.

use std::sync::Arc;

use forward::{Reason, Refusal};
use platform::OnUnavailable;
use tracing::debug;
use traffic::{Because, Choice};

use crate::hold::Hold;
use crate::metrics::Outcome;
use crate::served::InForce;
use crate::tally::Tally;

/// Where one request goes, and where it may still go. All from one version of its endpoint.
pub(crate) struct Way<'a> {
    /// Where it goes now.
    pub(crate) hold: &'a Arc<Hold>,
    /// Where it is counted how it ends, for comparing revisions. Not where it fell back to: that is not by chance.
    pub(crate) tally: Option<&'a Arc<Tally>>,
    in_force: &'a InForce,
    falls_back: bool,
    /// A bit for each target that it has been led to.
    tried: u16,
    /// Why its own revision did not serve it. That is what its client hears if no other does.
    own: Option<Refusal>,
}

impl<'a> Way<'a> {
    pub(crate) fn new(in_force: &'a InForce, hold: &'a Arc<Hold>, choice: &Choice) -> Self {
        let falls_back = in_force.endpoint.on_unavailable == OnUnavailable::Fallback && choice.because != Because::Tag;
        Self { hold, tally: in_force.tally(choice), in_force, falls_back, tried: bit(choice.target), own: None }
    }

    /// Its revision refuses it before it counts as being there.
    pub(crate) fn turned_away(&self) {
        self.hold.metrics.turned_away();
        if let Some(tally) = self.tally {
            tally.ended(Outcome::Refused, None, None, self.hold.clock.now());
        }
    }

    /// Its revision refuses it: on to another one.
    ///
    /// # Errors
    /// With what its client is told, if it goes no further.
    pub(crate) fn onward(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        if !self.falls_back || !cannot_be_woken(refusal.reason) {
            return Err(refusal);
        }
        let own = self.own.take().unwrap_or(refusal);
        let Some((target, hold)) = self.in_force.fallback(|target| self.tried & bit(target) != 0) else {
            return Err(own);
        };
        debug!(from = %self.hold.key, to = %hold.key, reason = own.reason.word(), "falls back");
        self.hold.metrics.fallbacks.inc();
        self.tried |= bit(target);
        (self.hold, self.tally, self.own) = (hold, None, Some(own));
        Ok(())
    }
}

/// There are at most 16 targets.
fn bit(target: usize) -> u16 {
    const { assert!(traffic::MAX_TARGETS <= u16::BITS as usize) };
    1 << target
}

/// Nothing of it was begun, and there is nothing that it could wait for.
fn cannot_be_woken(reason: Reason) -> bool {
    matches!(reason, Reason::CannotWake | Reason::StartFailed | Reason::RevisionMissing)
}
