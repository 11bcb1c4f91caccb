//! What must hold all the time. Each law is judged by what is so in the toy, never by what a program believes.

use std::time::Duration;

use kpa::{Outcome, Step, World};
use units::ReplicaCount;

use super::load::LAST;
use super::replica::State;
use super::{Cluster, Event, tell};
use crate::plan::Load;
use crate::queue::Millis;

/// An activator sends a frame each second, and one that missed two is not heard.
const SILENCE: Millis = 2_000;
/// Who waits is answered so long after the end of its wait at the latest.
const SLACK: Millis = 1_000;
/// Longer than any request takes, and those before it in a sidecar's line.
const LONGEST: Millis = 2 * 3_600_000;

impl Cluster {
    /// The first law broken ends the run.
    pub(super) fn broke(&mut self, law: String) {
        tell!(self, "BROKEN: {law}");
        self.broke.get_or_insert(law);
    }

    /// Of what a leader decides.
    pub(super) fn decision_is_lawful(&mut self, autoscaler: usize, revision: usize, outcome: &Outcome, world: &World) {
        let policy = &self.plan.policy;
        let Some(want) = outcome.decision.want else { return };
        let most = policy.max.unwrap_or(ReplicaCount(u32::MAX)).max(policy.min);
        if want < policy.min || most < want {
            let min = policy.min;
            return self
                .broke(format!("bounds: {want} replicas are wanted of r{revision}, allowed are {min} to {most}"));
        }
        let lowers = matches!(outcome.step, Step::Scale(to) if to < world.scale) || outcome.step == Step::Seal;
        // A start that failed serves nobody, so it may be given up whatever is known.
        if !lowers || (world.start_failed && world.ready.is_zero()) {
            return;
        }
        let deciding = &self.autoscalers[autoscaler];
        let age = self.now - deciding.born;
        if Duration::from_millis(age) < policy.stable_window {
            let scale = world.scale;
            return self.broke(format!(
                "restart: r{revision} is lowered from {scale} to {want} by an autoscaler that has run for {age} ms"
            ));
        }
        let window = u64::try_from(policy.stable_window.as_millis()).unwrap_or(u64::MAX);
        let keeper = &deciding.keepers[revision];
        let unheard = self.activators.iter().find(|activator| {
            let Some((heard, demanded)) = keeper.heard.get(&activator.uid) else { return false };
            let matters = !self.plan.sidecars || demanded.is_some_and(|demanded| *heard - demanded <= window);
            matters && SILENCE < self.now - heard
        });
        if let Some(unheard) = unheard {
            let (uid, scale) = (&unheard.uid, world.scale);
            self.broke(format!("absent: r{revision} is lowered from {scale} to {want} while {uid} is not heard"));
        }
    }

    /// Of a change of the scale, when it takes effect.
    pub(super) fn scale_is_lawful(&mut self, revision: usize, to: u32) {
        let policy = &self.plan.policy;
        let most = policy.max.map_or(u32::MAX, |max| max.0.max(policy.min.0));
        if most < to || to < policy.min.0 {
            let min = policy.min;
            return self.broke(format!("bounds: r{revision} is scaled to {to}, allowed are {min} to {most}"));
        }
        if to != 0 {
            return;
        }
        let forwarded: u32 = self
            .activators
            .iter()
            .filter(|activator| activator.up)
            .map(|activator| activator.holds[revision].forwarded())
            .sum();
        let inside: usize = self.workloads[revision]
            .replicas
            .iter()
            .filter(|replica| replica.state != State::Leaving)
            .map(|replica| replica.inside.len())
            .sum();
        if forwarded != 0 || inside != 0 {
            self.broke(format!(
                "promise 3: r{revision} is taken to zero with {forwarded} requests forwarded to it and {inside} in it"
            ));
        }
    }

    pub(super) fn each_minute(&mut self) {
        self.queue.plan(self.now + 60_000, Event::EachMinute);
        let (now, max_wait) = (self.now, self.plan.max_wait);
        let forgotten = self.requests.iter().find(|(_, request)| {
            let age = now - request.arrived;
            LONGEST < age || (request.replica.is_none() && max_wait + SLACK < age)
        });
        if let Some((number, request)) = forgotten {
            let law = format!("forgotten: request {number} has neither an answer nor a refusal: {request:?}");
            self.broke(law);
        }
        if self.now + LAST == self.plan.length {
            self.at_rest();
        }
    }

    /// Long after the last fault and the last request, before one last request comes: all is at zero that may be.
    fn at_rest(&mut self) {
        let policy = &self.plan.policy;
        let at_least =
            if matches!(self.plan.load, Load::Stretches) && policy.scale_to_zero { policy.min.0 } else { return };
        for revision in 0..self.workloads.len() {
            let scale = self.workloads[revision].scale;
            if scale != at_least {
                self.broke(format!(
                    "rest: nothing has been asked of r{revision} for long, and it has {scale} replicas"
                ));
            }
        }
        self.tally.before_last = self.tally.answered();
    }

    /// The last request, which came when all was well, has its answer.
    pub(super) fn at_the_end(&mut self) {
        if matches!(self.plan.load, Load::Stretches) && self.tally.answered() != self.tally.before_last + 1 {
            let tally = &self.tally;
            self.broke(format!("healed: long after the last fault a request was not answered: {tally:?}"));
        }
    }
}
