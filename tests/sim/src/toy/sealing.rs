//! An autoscaler's side of the seal: what the leader wants done is said and ordered, and what came of it is told back.

use std::sync::Arc;

use kpa::seal::{Deed, Event as SealEvent, Member, Roster, View};
use units::Incarnation;

use super::replica::State;
use super::talk::Down;
use super::{Cluster, Event, Life, Whose, moment, tell, toy_time};

impl Cluster {
    fn roster(&self, autoscaler: usize, revision: usize) -> Roster {
        let asking = &self.autoscalers[autoscaler];
        let mut roster: Roster = self.pods().into_iter().map(|uid| (Member::Activator(uid), None)).collect();
        for (uid, (incarnation, _)) in &asking.streams {
            roster.insert(Member::Activator(Arc::clone(uid)), Some(*incarnation));
        }
        if self.plan.sidecars {
            for replica in &self.workloads[revision].replicas {
                let id = replica.id.0;
                let connected = asking.sidecars.contains(&(revision, id)) && replica.cut_until[autoscaler] <= self.now;
                let counts = match replica.state {
                    State::Ready | State::Unready => true,
                    State::Starting => connected,
                    State::Leaving => false,
                };
                if counts {
                    roster.insert(Member::Sidecar(Arc::clone(&replica.name)), connected.then_some(Incarnation(id)));
                }
            }
        }
        roster
    }

    pub(super) fn roster_changed(&mut self, autoscaler: usize) {
        let life = self.autoscalers[autoscaler].life;
        for revision in 0..self.autoscalers[autoscaler].keepers.len() {
            self.seal_time(autoscaler, life, revision);
        }
    }

    pub(super) fn seal_time(&mut self, autoscaler: usize, life: Life, revision: usize) {
        let timed = &self.autoscalers[autoscaler];
        if timed.up && timed.life == life && timed.keepers[revision].in_round() {
            self.seal(autoscaler, revision, SealEvent::Time);
        }
    }

    pub(super) fn seal(&mut self, autoscaler: usize, revision: usize, event: SealEvent) {
        let now = self.now_of(autoscaler);
        let Some(mut leader) = self.autoscalers[autoscaler].keepers[revision].leader.take() else { return };
        let lead_until = self.autoscalers[autoscaler].lead.map_or(self.now, |(_, until)| until);
        let lead_until = moment(lead_until, self.autoscalers[autoscaler].skew);
        let roster = self.roster(autoscaler, revision);
        let mut steps_down = false;
        for deed in leader.handle(now, View { roster: &roster, lead_until }, event) {
            tell!(self, "autoscaler {autoscaler}, r{revision}: {deed:?}");
            steps_down |= deed == Deed::StepDown;
            self.deal(autoscaler, revision, deed);
        }
        let (life, skew) = (self.autoscalers[autoscaler].life, self.autoscalers[autoscaler].skew);
        if leader.in_round()
            && let Some(look_again) = leader.look_again_at()
        {
            let at = (toy_time(look_again, skew) + 1).max(self.now + 1);
            self.queue.plan(at, Event::SealTime { autoscaler, life, revision });
        }
        self.autoscalers[autoscaler].keepers[revision].leader = Some(leader);
        if steps_down {
            self.step_down(autoscaler);
        }
    }

    fn deal(&mut self, autoscaler: usize, revision: usize, deed: Deed) {
        let life = self.autoscalers[autoscaler].life;
        let by_uid =
            |cluster: &Self, uid: &Arc<str>| cluster.activators.iter().position(|activator| activator.uid == *uid);
        match deed {
            Deed::Ask { to: Member::Activator(uid), id, ttl } => {
                if let Some(activator) = by_uid(self, &uid) {
                    self.say_down(activator, autoscaler, Down::Seal { revision, id, ttl });
                }
            }
            Deed::Ask { to: Member::Sidecar(name), id, .. } => {
                let replica = self.workloads[revision].replicas.iter().find(|replica| replica.name == name);
                if let Some(replica) = replica.map(|replica| replica.id.0) {
                    let event = Event::IdleQuestion { autoscaler, life, revision, replica, id };
                    self.queue.plan(self.now + 1, event);
                }
            }
            Deed::Patch { id, expect, .. } => {
                let expect = expect.parse().unwrap_or(0);
                self.send_order(autoscaler, revision, 0, expect, Whose::Seal(id));
            }
            Deed::ReadScale { begun } => {
                let event = Event::Read { autoscaler, life, revision, begun: Some(begun) };
                self.queue.plan(self.now + 5, event);
            }
            Deed::Tell { to: Member::Activator(uid), id, ending } => {
                if let Some(activator) = by_uid(self, &uid) {
                    self.say_down(activator, autoscaler, Down::Outcome { revision, id, ending });
                }
            }
            Deed::Tell { to: Member::Sidecar(_), .. } | Deed::StepDown => {}
        }
    }
}
