//! One request at a revision, from its arrival to the last byte of its answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use breaker::Share;
use http::HeaderValue;
use units::Moment;

use crate::hold::{Hold, Place, Refused, Whose};
use crate::replica::Replica;

/// A request that counts. Dropping it is the only way to stop counting, so it moves into the body of the answer.
pub(crate) struct Visit {
    hold: Arc<Hold>,
    /// `None` once it was refused while it waited.
    place: Option<Place>,
    /// When it arrived.
    pub(crate) arrived: Moment,
    /// Whether no replica could be used when it arrived, so that it woke the revision.
    pub(crate) woke: bool,
    /// What it takes of the process's budget; `None` if it never waited, or its answer has begun.
    share: Option<Share>,
    /// Of that, what is for its body.
    body_bytes: u64,
    whose: Whose,
    /// A replica that had room for it did not take it, and it has not been asked since where it goes now.
    stepped_back: bool,
}

impl Visit {
    /// `held`: what it takes while it waits, and how much of that is its body.
    pub(crate) fn new(
        hold: Arc<Hold>,
        place: Place,
        arrived: Moment,
        woke: bool,
        whose: Whose,
        held: Option<(Share, u64)>,
    ) -> Self {
        let (share, body_bytes) = held.map_or((None, 0), |(share, body_bytes)| (Some(share), body_bytes));
        Self { hold, place: Some(place), arrived, woke, whose, share, body_bytes, stepped_back: false }
    }

    /// Waits until a replica has room, at most until `max_wait` after the arrival.
    ///
    /// One that no replica took is bounded by the same: among many that cannot be reached one is always worth another try.
    /// How often it may be tried is not bounded beside that, since each try sets a replica aside for longer.
    ///
    /// May be dropped at its await: the visit keeps its place in the line, and dropping the visit gives it up.
    pub(crate) async fn replica(&mut self, max_wait: Duration) -> Result<Arc<Replica>, Refused> {
        let deadline = self.arrived.plus(max_wait);
        let tries_again = std::mem::take(&mut self.stepped_back);
        let granted = match &mut self.place {
            Some(Place::At(_)) if tries_again && deadline <= self.hold.clock.now() => {
                return Err(self.hold.waited_too_long(max_wait));
            }
            Some(Place::At(replica)) => return Ok(Arc::clone(replica)),
            Some(Place::Waiting { granted, .. }) => granted,
            None => return Err(Refused::Missing),
        };
        let outcome = tokio::select! {
            // One that was told to go in its last moment goes.
            biased;
            outcome = granted => outcome,
            () = self.hold.clock.sleep_until(deadline) => return Err(self.hold.waited_too_long(max_wait)),
        };
        match outcome {
            Ok(Ok(replica)) => {
                self.place = Some(Place::At(Arc::clone(&replica)));
                Ok(replica)
            }
            Ok(Err(refused)) => {
                self.place = None;
                Err(refused)
            }
            // The sender is dropped unsent only together with the hold, and this visit keeps the hold.
            Err(_) => Err(Refused::Missing),
        }
    }

    /// How much of its body is in memory, as far as that was accounted for.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Is it in the line?
    pub(crate) fn waits(&self) -> bool {
        matches!(self.place, Some(Place::Waiting { .. }))
    }

    /// Makes room for `bytes` of its body, in its line and in the budget; `false` if there is none, and then nothing more of
    /// it may be read.
    pub(crate) fn make_room(&mut self, bytes: u64) -> bool {
        let (Some(Place::Waiting { id, .. }), Some(share)) = (&self.place, &mut self.share) else { return false };
        let more = bytes.saturating_sub(self.body_bytes);
        let before = share.bytes();
        if !share.grow(more) {
            return false;
        }
        if !self.hold.hold_bytes(*id, more) {
            share.shrink_to(before);
            return false;
        }
        self.body_bytes += more;
        true
    }

    /// The replica refused the connection: back into the line, before everyone else.
    pub(crate) fn step_back(&mut self, request_id: &HeaderValue) {
        if let Some(Place::At(replica)) = &self.place {
            let replica = Arc::clone(replica);
            self.stepped_back = true;
            self.place = Some(self.hold.step_back(&replica, request_id, self.arrived, self.body_bytes, self.whose));
            if self.share.is_none() && self.whose == Whose::Clients && self.waits() {
                // It is not refused any more; without a share nothing of its body is read while it waits.
                self.share = self.hold.late_share();
            }
        }
    }

    /// The replica has begun to answer: nothing of the request is kept any more.
    pub(crate) fn answered(&mut self) {
        self.share = None;
        if let Some(Place::At(replica)) = &self.place {
            self.hold.answered(replica);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.hold.leave(self.place.as_mut());
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit").field("revision", &self.hold.key).field("woke", &self.woke).finish_non_exhaustive()
    }
}
