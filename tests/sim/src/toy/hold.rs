//! One revision at one activator: a model of the activator's own glue around the real line, replicas, seal and meter.
//!
//! It differs in that a request is a number and whoever may go is answered with, not told through a channel.

use std::time::Duration;

use balance::{ReplicaId, Replicas};
use breaker::seal::{Ending, Forward, Here, Seal, SealId, Verdict};
use breaker::{Entry, Limits, Line, Meter, Reading, Via, WaiterId};
use units::{Capacity, ConcurrencyLimit, Moment};

/// A request, and where it may go now.
pub(crate) type Grant = (u64, ReplicaId);

/// What became of a request that arrived.
pub(crate) enum Arrival {
    Go(ReplicaId),
    Wait,
    Full,
    Refused,
}

#[derive(Debug)]
pub(crate) struct Hold {
    line: Line,
    meter: Meter,
    seal: Seal,
    replicas: Replicas,
    /// Each with since when it is known, and when the newest probe that it answered began.
    candidates: Vec<(ReplicaId, Moment, Moment)>,
    /// Until when, and by which autoscaler, it was said that it cannot be woken.
    refused: Option<(Moment, usize)>,
    wanting: bool,
}

impl Hold {
    pub(crate) fn new(now: Moment, limit: ConcurrencyLimit, most_waiting: u32, hold_until: Option<Moment>) -> Self {
        let replicas = Replicas::new(limit);
        let limits = Limits { waiting: most_waiting, in_flight: None, bytes: 1 << 30 };
        Self {
            line: Line::new(replicas.capacity(now), limits),
            meter: Meter::new(now),
            seal: Seal::new(hold_until),
            replicas,
            candidates: Vec::new(),
            refused: None,
            wanting: false,
        }
    }

    pub(crate) fn arrive(&mut self, now: Moment, request: u64, random: u64) -> Arrival {
        if self.refused.is_some_and(|(until, _)| now < until) && !self.has_usable() {
            return Arrival::Refused;
        }
        let arrival = match self.line.arrive(WaiterId(request), 0) {
            Entry::Go => match self.replicas.pick(now, random) {
                Ok(replica) => Arrival::Go(replica),
                Err(_) => {
                    self.back_to_front(request);
                    Arrival::Wait
                }
            },
            Entry::Wait => Arrival::Wait,
            Entry::Full => return Arrival::Full,
        };
        self.meter.arrive(now, Via::Direct);
        arrival
    }

    /// It is over, at a replica. Who goes in its stead?
    pub(crate) fn leave_replica(&mut self, now: Moment, replica: ReplicaId, random: u64) -> Vec<Grant> {
        self.meter.leave(now, Via::Direct);
        let mut grants = Vec::new();
        if self.replicas.done(replica, now) {
            self.recount(now, random, &mut grants);
        }
        if let Some(next) = self.line.finish() {
            self.grant(now, next, random, &mut grants);
        }
        grants
    }

    /// It waits no more. `false` if it did not wait.
    pub(crate) fn give_up(&mut self, now: Moment, request: u64) -> bool {
        let waited = self.line.give_up(WaiterId(request));
        if waited {
            self.meter.leave(now, Via::Direct);
        }
        waited
    }

    /// The replica refused the connection: the request goes before everyone else, to another one.
    pub(crate) fn step_back(&mut self, now: Moment, request: u64, replica: ReplicaId, random: u64) -> Vec<Grant> {
        self.replicas.set_aside(replica, now);
        let _ = self.replicas.done(replica, now);
        let mut grants = Vec::new();
        self.recount(now, random, &mut grants);
        if self.line.step_back(WaiterId(request), 0) == Entry::Go {
            match self.replicas.pick(now, random) {
                Ok(other) => grants.push((request, other)),
                Err(_) => self.back_to_front(request),
            }
        }
        grants
    }

    /// These are ready. Which of them have to be probed anew is the seal's to say; each probe begins and is answered now.
    pub(crate) fn look(&mut self, now: Moment, ready: &[ReplicaId], random: u64) -> Vec<Grant> {
        let forward = self.seal.may_forward(now);
        let known = std::mem::take(&mut self.candidates);
        self.candidates = ready
            .iter()
            .map(|id| {
                let before = known.iter().find(|(known, ..)| known == id);
                let since = before.map_or(now, |(_, since, _)| *since);
                let good = before.map(|(.., begun)| *begun);
                let good = good.filter(|begun| forward == Forward::Hold || forward.allows(since, Some(*begun)));
                if good.is_some() {
                    self.replicas.answered(*id);
                }
                (*id, since, good.unwrap_or(now))
            })
            .collect();
        self.settle(now, random)
    }

    pub(crate) fn seal_asked(&mut self, now: Moment, id: SealId, ttl: Duration, highest_epoch: u64) -> Verdict {
        let here = Here { held: self.line.waiting() as usize, forwarded: self.forwarded() as usize };
        let verdict = self.seal.asked(now, id, ttl, highest_epoch, here);
        let granted = self.settle(now, 0);
        debug_assert!(granted.is_empty(), "a promise lets nobody go");
        verdict
    }

    pub(crate) fn seal_ended(&mut self, now: Moment, id: SealId, ending: Ending, random: u64) -> Vec<Grant> {
        self.seal.ended(now, id, ending);
        self.settle(now, random)
    }

    /// When [`Hold::look`] would find something new by time alone.
    pub(crate) fn next_look(&self, now: Moment) -> Option<Moment> {
        [self.seal.holds_until(now), self.replicas.next_return(now)].into_iter().flatten().min()
    }

    /// It cannot be woken: who waits is sent away, unless a replica can be used.
    pub(crate) fn refuse(&mut self, now: Moment, until: Moment, by: usize) -> Vec<u64> {
        self.refused = Some((until, by));
        if self.has_usable() {
            return Vec::new();
        }
        let dismissed: Vec<u64> = self.line.dismiss_all().into_iter().map(|waiter| waiter.0).collect();
        for _ in &dismissed {
            self.meter.leave(now, Via::Direct);
        }
        dismissed
    }

    /// What this autoscaler said does not outlive it, nor its saying otherwise.
    pub(crate) fn clear_refusal(&mut self, by: usize) {
        self.refused.take_if(|(_, said_by)| *said_by == by);
    }

    /// Has it just come to hold something without a replica?
    pub(crate) fn came_to_want(&mut self) -> bool {
        let wants = self.wants();
        let came = wants && !self.wanting;
        self.wanting = wants;
        came
    }

    pub(crate) fn wants(&self) -> bool {
        self.line.waiting() != 0 && !self.has_usable()
    }

    pub(crate) fn reading(&mut self, now: Moment) -> Reading {
        self.meter.read(now)
    }

    pub(crate) fn held(&self) -> u32 {
        self.line.waiting()
    }

    /// Handed to replicas and not over.
    pub(crate) fn forwarded(&self) -> u32 {
        self.replicas.total_in_flight()
    }

    fn has_usable(&self) -> bool {
        self.replicas.offered().next().is_some()
    }

    fn settle(&mut self, now: Moment, random: u64) -> Vec<Grant> {
        let forward = self.seal.may_forward(now);
        let is_usable = |(_, since, begun): &&(ReplicaId, Moment, Moment)| forward.allows(*since, Some(*begun));
        let usable: Vec<ReplicaId> = self.candidates.iter().filter(is_usable).map(|(id, ..)| *id).collect();
        if !usable.is_empty() {
            self.refused = None;
        }
        self.replicas.offer(&usable, now);
        let mut grants = Vec::new();
        self.recount(now, random, &mut grants);
        grants
    }

    fn recount(&mut self, now: Moment, random: u64, grants: &mut Vec<Grant>) {
        for id in self.line.set_capacity(self.replicas.capacity(now)) {
            self.grant(now, id, random.rotate_left(grants.len() as u32), grants);
        }
    }

    fn grant(&mut self, now: Moment, id: WaiterId, random: u64, grants: &mut Vec<Grant>) {
        match self.replicas.pick(now, random) {
            Ok(replica) => grants.push((id.0, replica)),
            Err(_) => self.back_to_front(id.0),
        }
    }

    fn back_to_front(&mut self, request: u64) {
        let none = self.line.set_capacity(Capacity::AtMost(self.line.running().saturating_sub(1)));
        debug_assert!(none.is_empty());
        let _ = self.line.step_back(WaiterId(request), 0);
    }
}
