//! What happens under the lock: whom the line lets go, where to, and who is sent away.

use std::sync::Arc;
use std::time::Duration;

use balance::ReplicaId;
use breaker::WaiterId;
use http::HeaderValue;
use tokio::sync::oneshot;
use units::Moment;

use super::{Inner, Place, Refused, Waiter};
use crate::replica::Replica;

impl Inner {
    pub(super) fn may_arrive(&mut self, now: Moment) -> Result<(), Refused> {
        if self.gone {
            return Err(Refused::Missing);
        }
        match &self.refusal {
            Some(refusal) if now < refusal.until && !self.has_usable() => Err(refusal.said(now)),
            _ => Ok(()),
        }
    }

    /// Is any replica on offer at all, full or not?
    pub(super) fn has_usable(&self) -> bool {
        self.replicas.offered().next().is_some()
    }

    pub(super) fn wants(&self) -> bool {
        self.line.waiting() != 0 && !self.has_usable()
    }

    /// Something came to be held without a replica, or is not any more.
    pub(super) fn turned(&mut self, now: Moment, wanting: bool) {
        self.wanting = wanting;
        match wanting {
            true => self.pace.shut(now),
            false if self.has_usable() => self.pace.opened(now),
            false => self.pace.deserted(),
        }
    }

    pub(super) fn come_back(&self, now: Moment) -> Duration {
        let first = self.line.first().and_then(|id| self.waiters.get(&id));
        let oldest = first.map_or(Duration::ZERO, |first| now.since(first.arrived));
        self.pace.come_back(now, self.line.waiting(), oldest)
    }

    /// The line let this one go: to which replica?
    pub(super) fn place(&mut self, now: Moment, id: WaiterId, request_id: &HeaderValue, arrived: Moment) -> Place {
        match self.pick(now) {
            Some(replica) => Place::At(replica),
            // A replica came to be set aside or is not there any more since the line last heard.
            None => {
                let without_it = units::Capacity::AtMost(self.line.running().saturating_sub(1));
                let none = self.line.set_capacity(without_it);
                debug_assert!(none.is_empty());
                let _ = self.line.step_back(id, 0);
                self.wait(id, request_id, arrived)
            }
        }
    }

    pub(super) fn wait(&mut self, id: WaiterId, request_id: &HeaderValue, arrived: Moment) -> Place {
        let (sender, granted) = oneshot::channel();
        self.waiters.insert(id, Waiter { granted: sender, request_id: request_id.clone(), arrived });
        Place::Waiting { id, granted }
    }

    pub(super) fn pick(&mut self, now: Moment) -> Option<Arc<Replica>> {
        let id = self.replicas.pick(now, fastrand::u64(..)).ok()?;
        self.candidates.iter().find(|candidate| candidate.replica.id == id).map(|found| Arc::clone(&found.replica))
    }

    /// One that was at a replica is over.
    pub(super) fn release(&mut self, now: Moment, id: ReplicaId) {
        if self.replicas.done(id, now) {
            // Its slot goes with the request, so nobody follows.
            self.recount(now);
        }
        if let Some(next) = self.line.finish() {
            self.grant(now, next);
        }
    }

    /// Offers what may be used now, and lets go whom there is room for.
    pub(super) fn settle(&mut self, now: Moment) {
        let forward = self.seal.may_forward(now);
        let usable: Vec<ReplicaId> = self
            .candidates
            .iter()
            .filter(|of| of.probe_begun.is_some() && forward.allows(of.replica.seen, of.probe_begun))
            .map(|candidate| candidate.replica.id)
            .collect();
        if !usable.is_empty() {
            self.refusal = None;
        }
        self.replicas.offer(&usable, now);
        self.recount(now);
    }

    pub(super) fn recount(&mut self, now: Moment) {
        for id in self.line.set_capacity(self.replicas.capacity(now)) {
            self.grant(now, id);
        }
    }

    /// Tells one that waited where to go.
    pub(super) fn grant(&mut self, now: Moment, id: WaiterId) {
        let Some(Waiter { granted, request_id, arrived }) = self.waiters.remove(&id) else {
            // It left in the same moment; `leave` gives the place up under the same lock, so this does not happen.
            debug_assert!(false, "a waiter that nobody waits for");
            return;
        };
        let picked = self.pick(now);
        if picked.is_some() {
            self.quiet.remove(&id);
        }
        match picked {
            // The receiver lives until its visit is dropped, which takes the lock that is held here.
            Some(replica) => {
                self.pace.went(now);
                let _ = granted.send(Ok(replica));
            }
            None => {
                let without_it = units::Capacity::AtMost(self.line.running().saturating_sub(1));
                let _ = self.line.set_capacity(without_it);
                let _ = self.line.step_back(id, 0);
                self.waiters.insert(id, Waiter { granted, request_id, arrived });
            }
        }
    }

    /// Copies that may wake nobody go when there is no replica any more.
    pub(super) fn hush(&mut self) {
        if self.quiet.is_empty() || self.has_usable() {
            return;
        }
        for id in std::mem::take(&mut self.quiet) {
            self.line.give_up(id);
            if let Some(waiter) = self.waiters.remove(&id) {
                let _ = waiter.granted.send(Err(Refused::Asleep));
            }
        }
    }

    pub(super) fn dismiss(&mut self, why: &Refused) {
        self.quiet.clear();
        for id in self.line.dismiss_all() {
            if let Some(waiter) = self.waiters.remove(&id) {
                let _ = waiter.granted.send(Err(why.clone()));
            }
        }
    }
}
