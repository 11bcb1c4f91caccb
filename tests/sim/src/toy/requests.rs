//! The way of a request: in, to a replica or into the line, out.

use balance::ReplicaId;
use breaker::{Entry, Via};

use super::hold::{Arrival, Grant};
use super::load::LAST;
use super::replica::State;
use super::{Cluster, Event, Request, moment, tell};
use crate::plan::Broken;
use crate::queue::Millis;

/// From an activator to a replica.
const HOP: Millis = 1;

impl Cluster {
    pub(super) fn request_arrives(&mut self, takes: Millis) {
        let number = self.next_request;
        self.next_request += 1;
        self.tally.arrived += 1;
        let mut request =
            Request { revision: 0, arrived: self.now, takes, through: None, replica: None, tries: 0, begun: false };
        if self.route.clients_go_direct {
            let ready: Vec<u64> = self.ready(0).map(|id| id.0).collect();
            if ready.is_empty() {
                self.tally.end("nobody-listens");
                return;
            }
            request.replica = Some(ready[self.draw.usize(..ready.len())]);
            self.requests.insert(number, request);
            self.at_replica(number, 0);
            return;
        }
        let first = self.draw.usize(..self.activators.len());
        let Some(activator) = [first, 1 - first].into_iter().find(|activator| self.activators[*activator].up) else {
            self.tally.end("no-activator");
            return;
        };
        let random = self.draw.u64(..);
        let now = self.now_at(activator);
        let through = &mut self.activators[activator];
        request.through = Some((activator, through.life));
        request.revision = self.split.pick(through.picked);
        through.picked += 1;
        let revision = request.revision;
        match through.holds[revision].arrive(now, number, random) {
            Arrival::Go(replica) => {
                request.replica = Some(replica.0);
                self.requests.insert(number, request);
                self.queue.plan(self.now + HOP, Event::AtReplica { request: number, tries: 0 });
            }
            Arrival::Wait => {
                // Some clients are less patient; who comes last waits for its answer.
                let is_last = self.plan.length <= self.now + LAST;
                let patience =
                    if !is_last && self.draw.u8(..20) == 0 { self.draw.u64(100..20_000) } else { self.plan.max_wait };
                self.queue.plan(self.now + patience.min(self.plan.max_wait), Event::WaitEnds { request: number });
                self.requests.insert(number, request);
            }
            Arrival::Full => self.tally.end("queue-full"),
            Arrival::Refused => self.tally.end("start-failed"),
        }
        self.hold_changed(activator, revision);
    }

    /// Whoever may go is sent.
    pub(super) fn go(&mut self, grants: Vec<Grant>) {
        for (number, replica) in grants {
            if self.plan.broken == Some(Broken::ForgetsOne) && self.draw.u8(..50) == 0 {
                continue;
            }
            let Some(request) = self.requests.get_mut(&number) else { continue };
            request.replica = Some(replica.0);
            self.queue.plan(self.now + HOP, Event::AtReplica { request: number, tries: request.tries });
        }
    }

    pub(super) fn at_replica(&mut self, number: u64, tries: u32) {
        let Some(request) = self.requests.get(&number) else { return };
        let (revision, through) = (request.revision, request.through);
        let Some(replica) = request.replica.filter(|_| request.tries == tries && !request.begun) else { return };
        let now = self.now;
        let entry = match self.replica(revision, replica) {
            Some(replica) if matches!(replica.state, State::Ready | State::Leaving) => {
                let via = if through.is_some() { Via::Activator } else { Via::Direct };
                Some(replica.arrive(moment(now, replica.skew), number, via))
            }
            _ => None,
        };
        match entry {
            Some(Entry::Go) => self.begin(number),
            Some(Entry::Wait) => {}
            Some(Entry::Full) => self.over(number, "queue-full"),
            None => self.refused(number, ReplicaId(replica)),
        }
    }

    pub(super) fn begin(&mut self, number: u64) {
        let Some(request) = self.requests.get_mut(&number) else { return };
        request.begun = true;
        let waited = self.now - request.arrived;
        self.tally.begun += 1;
        if 1_000 < waited {
            self.tally.delayed += 1;
        }
        let takes = request.takes;
        self.queue.plan(self.now + takes, Event::Done { request: number });
    }

    /// The replica refused the connection.
    fn refused(&mut self, number: u64, replica: ReplicaId) {
        let Some(request) = self.requests.get_mut(&number) else { return };
        let (revision, arrived) = (request.revision, request.arrived);
        let Some((activator, _)) = request.through else {
            self.requests.remove(&number);
            self.tally.end("nobody-listens");
            return;
        };
        request.replica = None;
        request.tries += 1;
        let now = self.now_at(activator);
        let random = self.draw.u64(..);
        let grants = self.activators[activator].holds[revision].step_back(now, number, replica, random);
        self.go(grants);
        // It may have gone at once when it came, so that nothing ends its wait yet.
        let deadline = (arrived + self.plan.max_wait).max(self.now);
        self.queue.plan(deadline, Event::WaitEnds { request: number });
        let life = self.activators[activator].life;
        self.queue.plan(self.now + 5, Event::Look { activator, life, revision });
        self.hold_changed(activator, revision);
    }

    pub(super) fn done(&mut self, number: u64) {
        let Some(request) = self.requests.get(&number) else { return };
        let (revision, replica) = (request.revision, request.replica);
        let now = self.now;
        let next = replica.and_then(|replica| self.replica(revision, replica)).and_then(|replica| {
            let now = moment(now, replica.skew);
            replica.leave(now, number, true)
        });
        if let Some(next) = next {
            self.begin(next);
        }
        self.over(number, "answered");
    }

    /// A request that is at no replica any more has its answer.
    pub(super) fn over(&mut self, number: u64, how: &'static str) {
        let Some(request) = self.requests.remove(&number) else { return };
        self.tally.end(how);
        let (Some((activator, life)), Some(replica)) = (request.through, request.replica) else { return };
        if !self.activators[activator].up || self.activators[activator].life != life {
            return;
        }
        let now = self.now_at(activator);
        let random = self.draw.u64(..);
        let grants = self.activators[activator].holds[request.revision].leave_replica(now, ReplicaId(replica), random);
        self.go(grants);
        self.hold_changed(activator, request.revision);
    }

    pub(super) fn wait_ends(&mut self, number: u64) {
        let Some(request) = self.requests.get(&number) else { return };
        let Some((activator, _)) = request.through.filter(|_| request.replica.is_none()) else { return };
        let (revision, waited) = (request.revision, self.now - request.arrived);
        let now = self.now_at(activator);
        if self.activators[activator].holds[revision].give_up(now, number) {
            self.requests.remove(&number);
            let how = if self.plan.max_wait <= waited { "waited-too-long" } else { "client-left" };
            self.tally.end(how);
            tell!(self, "request {number} for r{revision} ends its wait: {how}");
        }
        self.hold_changed(activator, revision);
    }

    /// To be called when anything changed at a hold: says at once that a replica has come to be missing.
    pub(super) fn hold_changed(&mut self, activator: usize, revision: usize) {
        let life = self.activators[activator].life;
        if self.activators[activator].holds[revision].came_to_want() {
            tell!(self, "a{activator} holds something for r{revision} without a replica");
            self.queue.plan(self.now, Event::Wake { activator, life, revision });
        }
    }

    /// An activator looks at the replicas again.
    pub(super) fn look(&mut self, activator: usize, life: u32, revision: usize) {
        if !self.is_alive(activator, life) {
            return;
        }
        let ready: Vec<ReplicaId> = self.ready(revision).collect();
        let now = self.now_at(activator);
        let random = self.draw.u64(..);
        let hold = &mut self.activators[activator].holds[revision];
        let grants = hold.look(now, &ready, random);
        let next = hold.next_look(now);
        if let Some(next) = next {
            let at = super::toy_time(next, self.activators[activator].skew) + 1;
            self.queue.plan(at, Event::Look { activator, life, revision });
        }
        self.go(grants);
        self.hold_changed(activator, revision);
    }
}
