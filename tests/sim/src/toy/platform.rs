//! What runs the replicas, and tells everybody of them.

use balance::ReplicaId;
use units::Moment;

use super::replica::{Replica, State};
use super::{Cluster, Event, moment, tell};
use crate::queue::Millis;

/// A replica that leaves gets what was on its way for so long at least.
const QUIET_PERIOD: Millis = 3_000;

impl Cluster {
    pub(super) fn now_at(&self, activator: usize) -> Moment {
        moment(self.now, self.activators[activator].skew)
    }

    pub(super) fn replica(&mut self, revision: usize, id: u64) -> Option<&mut Replica> {
        self.workloads[revision].replicas.iter_mut().find(|replica| replica.id.0 == id)
    }

    pub(super) fn ready(&self, revision: usize) -> impl Iterator<Item = ReplicaId> {
        let replicas = self.workloads[revision].replicas.iter();
        replicas.filter(|replica| replica.state == State::Ready).map(|replica| replica.id)
    }

    pub(super) fn count(&self, revision: usize, state: State) -> u32 {
        self.workloads[revision].replicas.iter().filter(|replica| replica.state == state).count() as u32
    }

    /// Makes so many replicas as the scale says. `victims`: whom to take first.
    pub(super) fn reconcile(&mut self, revision: usize, victims: &[u64]) {
        let scale = self.workloads[revision].scale as usize;
        let mut staying: Vec<usize> = (0..self.workloads[revision].replicas.len())
            .filter(|index| self.workloads[revision].replicas[*index].state != State::Leaving)
            .collect();
        for _ in staying.len()..scale {
            self.next_replica += 1;
            let id = ReplicaId(self.next_replica);
            let replica = Replica::new(id, revision, self.now, self.wall_skew, self.plan.limit);
            self.workloads[revision].replicas.push(replica);
            self.begin_start(revision, id.0, 0);
            let phase = self.draw.u64(..1_000);
            self.queue.plan(self.now + phase, Event::Sidecar { revision, replica: id.0 });
        }
        let replicas = &self.workloads[revision].replicas;
        let rank = |index: &usize| {
            let id = replicas[*index].id.0;
            victims.iter().position(|victim| *victim == id).unwrap_or(usize::MAX)
        };
        staying.sort_by_key(rank);
        let leaving = staying.len().saturating_sub(scale);
        for index in staying.into_iter().take(leaving) {
            let replica = &mut self.workloads[revision].replicas[index];
            replica.state = State::Leaving;
            let id = replica.id.0;
            self.queue.plan(self.now + QUIET_PERIOD, Event::LooksEmpty { revision, replica: id });
        }
        self.replicas_changed(revision);
    }

    fn begin_start(&mut self, revision: usize, replica: u64, pause: Millis) {
        let (least, most) = self.plan.starts;
        let takes = if most <= least { least } else { self.draw.u64(least..most) };
        self.queue.plan(self.now + pause + takes, Event::StartEnds { revision, replica });
    }

    pub(super) fn start_ends(&mut self, revision: usize, id: u64) {
        let now = self.now;
        let fails = now < self.workloads[revision].starts_fail_until;
        let crashes = self.workloads[revision].crashes_in_a_row;
        let Some(replica) = self.replica(revision, id) else { return };
        if !matches!(replica.state, State::Starting | State::Unready) {
            return;
        }
        if fails {
            self.workloads[revision].crashes_in_a_row = crashes + 1;
            tell!(self, "r{revision}-{id} fails to start, {} in a row", crashes + 1);
            self.begin_start(revision, id, 1_000 << crashes.min(5));
        } else {
            replica.state = State::Ready;
            replica.first_ready.get_or_insert(now);
            self.workloads[revision].crashes_in_a_row = 0;
            tell!(self, "r{revision}-{id} is ready");
        }
        self.replicas_changed(revision);
    }

    /// Its model server crashes, and is started again.
    pub(super) fn replica_crashes(&mut self, revision: usize, id: u64) {
        let now = self.now;
        tell!(self, "r{revision}-{id} crashes");
        let Some(replica) = self.replica(revision, id) else { return };
        if replica.state == State::Ready {
            replica.state = State::Unready;
        }
        let now_there = moment(now, replica.skew);
        let inside = replica.crash(now_there);
        self.begin_start(revision, id, 0);
        for request in inside {
            self.over(request, "replica-broke");
        }
        self.replicas_changed(revision);
    }

    pub(super) fn looks_empty(&mut self, revision: usize, id: u64) {
        let Some(replica) = self.replica(revision, id) else { return };
        if !replica.inside.is_empty() {
            self.queue.plan(self.now + 1_000, Event::LooksEmpty { revision, replica: id });
            return;
        }
        let created = replica.created;
        self.tally.replica_millis += self.now - created;
        self.workloads[revision].replicas.retain(|replica| replica.id.0 != id);
        self.replicas_changed(revision);
    }

    /// The autoscalers see it at once, each activator a moment later.
    fn replicas_changed(&mut self, revision: usize) {
        for autoscaler in 0..self.autoscalers.len() {
            self.facts_changed(autoscaler, revision);
        }
        for activator in 0..self.activators.len() {
            let lag = self.draw.u64(5..200);
            let life = self.activators[activator].life;
            self.queue.plan(self.now + lag, Event::Look { activator, life, revision });
        }
    }

    /// The path is switched, clients and activators hear of it by and by.
    pub(super) fn path_changes(&mut self, direct: bool) {
        if self.route.direct == direct {
            return;
        }
        self.route.direct = direct;
        self.route.generation += 1;
        let generation = self.route.generation;
        tell!(self, "the path is {}", if direct { "direct" } else { "proxied" });
        let lag = self.draw.u64(50..10_000);
        self.queue.plan(self.now + lag, Event::ClientsKnow { generation, direct });
        for activator in 0..self.activators.len() {
            let lag = self.draw.u64(5..500);
            let life = self.activators[activator].life;
            self.queue.plan(self.now + lag, Event::RouteKnown { activator, life, generation });
        }
    }
}
