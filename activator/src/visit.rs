//! One request at a revision, from its arrival to the last byte of its answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use breaker::WaiterId;
use http::HeaderValue;
use units::Moment;

use crate::hold::{Hold, Place, Refused};
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
}

impl Visit {
    pub(crate) fn new(hold: Arc<Hold>, place: Place, arrived: Moment, woke: bool) -> Self {
        Self { hold, place: Some(place), arrived, woke }
    }

    /// Waits until a replica has room, at most until `max_wait` after the arrival.
    ///
    /// May be dropped at its await: the visit keeps its place in the line, and dropping the visit gives it up.
    pub(crate) async fn replica(&mut self, max_wait: Duration) -> Result<Arc<Replica>, Refused> {
        let granted = match &mut self.place {
            Some(Place::At(replica)) => return Ok(Arc::clone(replica)),
            Some(Place::Waiting { granted, .. }) => granted,
            None => return Err(Refused::Missing),
        };
        let deadline = self.arrived.plus(max_wait);
        let outcome = tokio::select! {
            // One that was told to go in its last moment goes.
            biased;
            outcome = granted => outcome,
            () = self.hold.clock.sleep_until(deadline) => return Err(Refused::WaitedTooLong { waited: max_wait }),
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

    /// Its place in the line; `None` if it does not wait.
    pub(crate) fn waiter(&self) -> Option<WaiterId> {
        match &self.place {
            Some(Place::Waiting { id, .. }) => Some(*id),
            Some(Place::At(_)) | None => None,
        }
    }

    /// The replica refused the connection: back into the line, before everyone else.
    pub(crate) fn step_back(&mut self, request_id: &HeaderValue) {
        if let Some(Place::At(replica)) = &self.place {
            let replica = Arc::clone(replica);
            self.place = Some(self.hold.step_back(&replica, request_id, self.arrived));
        }
    }

    /// The replica took the connection.
    pub(crate) fn answered(&self) {
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
