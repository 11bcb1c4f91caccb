//! An autoscaler: hear, decide, have it done. A model of the program's own task of a revision, and of its lease.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kpa::seal::{Event as SealEvent, Leader, Limits, PatchEnd, ScaleSeen};
use kpa::{Outcome, PathState, Scaler, StartJudge, StartState, Starting, Step, World};
use units::{Moment, ReplicaCount};

use super::replica::State;
use super::talk::Down;
use super::{Autoscaler, Cluster, Event, Keeper, Life, Whose, Workload, moment, tell};
use crate::plan::Broken;
use crate::queue::Millis;

const TICK: Millis = 2_000;
const RENEW: Millis = 2_000;
/// A leader that has not renewed for so long does nothing more …
const RENEW_DEADLINE: Millis = 10_000;
/// … and so much later another may lead.
const LEASE: Millis = 15_000;
/// A wake stands for itself so long.
const WAKE_STANDS: Duration = Duration::from_secs(1);
/// A stream on which nothing is heard for so long is given up.
const STREAM_IS_DEAD: Millis = 10_000;
const PROGRESS_DEADLINE: Duration = Duration::from_secs(600);

impl Autoscaler {
    pub(super) fn absent() -> Self {
        Self {
            up: false,
            life: 0,
            skew: 0,
            born: 0,
            keepers: Vec::new(),
            streams: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            sidecars: BTreeSet::new(),
            lead: None,
            api_cut_until: 0,
        }
    }
}

impl Keeper {
    fn held(&mut self, now: Moment) -> u32 {
        self.held.retain(|_, (_, at)| now.since(*at) < WAKE_STANDS);
        self.held.values().map(|(held, _)| *held).sum()
    }

    fn patch_is_open(&self) -> bool {
        self.leader.as_ref().is_some_and(Leader::patch_is_open)
    }

    pub(super) fn in_round(&self) -> bool {
        self.leader.as_ref().is_some_and(Leader::in_round)
    }
}

impl Cluster {
    pub(super) fn now_of(&self, autoscaler: usize) -> Moment {
        moment(self.now, self.autoscalers[autoscaler].skew)
    }

    pub(super) fn autoscaler_starts(&mut self, autoscaler: usize) {
        let skew = self.wall_skew;
        let now = moment(self.now, skew);
        let mut policy = self.plan.policy.clone();
        let mut rules = self.plan.rules;
        match self.plan.broken {
            Some(Broken::NoMaximum) => policy.max = None,
            Some(Broken::YoungWindowsLower) => rules.young_window_never_lowers = false,
            _ => {}
        }
        let keeper = |revision: usize| Keeper {
            scaler: Scaler::new(policy.clone(), rules, now, ReplicaCount(self.count(revision, State::Ready))),
            start: StartJudge::new(1),
            starting_since: None,
            failed: None,
            leader: None,
            held: BTreeMap::new(),
            ordering: false,
            path_direct: false,
            path_since: now,
            path_acknowledged: None,
            due: self.now,
            zero_wanted: false,
            told_of: BTreeSet::new(),
            replicas_told_of: BTreeMap::new(),
            starts_told_of: BTreeSet::new(),
            heard: BTreeMap::new(),
        };
        let keepers = (0..self.workloads.len()).map(keeper).collect();
        let life = self.autoscalers[autoscaler].life + 1;
        let api_cut_until = self.autoscalers[autoscaler].api_cut_until;
        self.autoscalers[autoscaler] =
            Autoscaler { up: true, life, skew, born: self.now, keepers, api_cut_until, ..Autoscaler::absent() };
        tell!(self, "autoscaler {autoscaler} starts");
        self.pods_changed();
        for revision in 0..self.workloads.len() {
            self.facts_changed(autoscaler, revision);
            self.queue.plan(self.now, Event::Decide { autoscaler, life, revision });
        }
        self.lease(autoscaler, life);
    }

    /// The catalogue tells which activators there are.
    pub(super) fn pods_changed(&mut self) {
        let pods: Vec<Arc<str>> = self.activators.iter().map(|activator| Arc::clone(&activator.uid)).collect();
        let at = self.now;
        for autoscaler in 0..self.autoscalers.len() {
            let now = self.now_of(autoscaler);
            for keeper in &mut self.autoscalers[autoscaler].keepers {
                for pod in &pods {
                    keeper.scaler.expect_activator(now, pod);
                    keeper.told_of.insert(Arc::clone(pod));
                    keeper.heard.entry(Arc::clone(pod)).or_insert((at, None));
                }
            }
            self.roster_changed(autoscaler);
        }
    }

    pub(super) fn facts_changed(&mut self, autoscaler: usize, revision: usize) {
        if !self.autoscalers[autoscaler].up {
            return;
        }
        let now = self.now_of(autoscaler);
        let life = self.autoscalers[autoscaler].life;
        let Autoscaler { keepers, sidecars, .. } = &mut self.autoscalers[autoscaler];
        let keeper = &mut keepers[revision];
        let replicas = &self.workloads[revision].replicas;
        keeper.replicas_told_of.retain(|id, name| {
            let there = replicas.iter().any(|replica| replica.id.0 == *id);
            if !there {
                keeper.scaler.forget_replica(name);
                sidecars.remove(&(revision, *id));
            }
            there
        });
        keeper.starts_told_of.retain(|id| replicas.iter().any(|replica| replica.id.0 == *id));
        for replica in replicas {
            if let Some(ready) = replica.first_ready
                && keeper.starts_told_of.insert(replica.id.0)
            {
                keeper.scaler.replica_started(Duration::from_millis(ready - replica.created));
            }
            match replica.state {
                State::Leaving => keeper.scaler.replica_leaves(&replica.name),
                State::Ready if self.plan.sidecars => {
                    keeper.scaler.expect_replica(now, &replica.name);
                    keeper.replicas_told_of.insert(replica.id.0, Arc::clone(&replica.name));
                }
                State::Ready | State::Starting | State::Unready => {}
            }
        }
        self.seal_time(autoscaler, life, revision);
        if self.judge_start(autoscaler, revision) {
            self.decide_by(autoscaler, revision, self.now);
        }
    }

    fn decide_by(&mut self, autoscaler: usize, revision: usize, at: Millis) {
        let life = self.autoscalers[autoscaler].life;
        let keeper = &mut self.autoscalers[autoscaler].keepers[revision];
        if at < keeper.due {
            keeper.due = at;
            self.queue.plan(at.max(self.now), Event::Decide { autoscaler, life, revision });
        }
    }

    pub(super) fn hear_wake(&mut self, autoscaler: usize, revision: usize, by: usize, uid: Arc<str>, held: u32) {
        let now = self.now_of(autoscaler);
        let at_zero = self.workloads[revision].scale == 0;
        let keeper = &mut self.autoscalers[autoscaler].keepers[revision];
        let was_quiet = keeper.held(now) == 0;
        keeper.held.insert(uid, (held, now));
        if keeper.in_round() {
            self.seal(autoscaler, revision, SealEvent::Woken);
        }
        if was_quiet || at_zero {
            self.decide_by(autoscaler, revision, self.now);
        }
        if self.autoscalers[autoscaler].keepers[revision].failed.is_some() {
            self.judge_start(autoscaler, revision);
        }
        if let Some(until) = self.autoscalers[autoscaler].keepers[revision].failed
            && self.leading(autoscaler).is_some()
        {
            let retry_after = Some(until.since(now));
            self.say_down(by, autoscaler, Down::Refusal { revision, retry_after });
        }
    }

    pub(super) fn decide_if_due(&mut self, autoscaler: usize, life: Life, revision: usize) {
        let deciding = &self.autoscalers[autoscaler];
        if deciding.up && deciding.life == life && deciding.keepers[revision].due <= self.now {
            self.decide(autoscaler, revision);
        }
    }

    fn decide(&mut self, autoscaler: usize, revision: usize) {
        let now = self.now_of(autoscaler);
        self.forget_who_is_gone(autoscaler, revision);
        self.judge_start(autoscaler, revision);
        let world = self.world(autoscaler, revision);
        let pretend = self.plan.broken == Some(Broken::AbsentIsZero);
        let pods: Vec<Arc<str>> = if pretend { self.pods() } else { Vec::new() };
        let keeper = &mut self.autoscalers[autoscaler].keepers[revision];
        for pod in &pods {
            keeper.scaler.activator_heard(now, pod);
        }
        let mut outcome = keeper.scaler.decide(now, &world);
        let again = keeper.scaler.decide(now, &world);
        if again != outcome {
            self.broke(format!("deciding twice at one instant differs: {outcome:?}, then {again:?}, in {world:?}"));
            return;
        }
        let is_settled = outcome.step == Step::Rest && 1 < world.scale.0 && 600_000 < self.now;
        if self.plan.broken == Some(Broken::TakesOneAway) && is_settled {
            outcome.step = Step::Scale(ReplicaCount(world.scale.0 - 1));
        }
        let keeper = &mut self.autoscalers[autoscaler].keepers[revision];
        let wait = u64::try_from(outcome.ask_again.as_millis()).unwrap_or(TICK).clamp(1, TICK);
        let mut due = self.now + wait;
        if let Some(until) = keeper.failed.map(|until| until.plus(Duration::from_millis(1)))
            && now < until
        {
            due = due.min(self.now + until.since(now).as_millis() as u64 + 1);
        }
        keeper.due = due;
        let life = self.autoscalers[autoscaler].life;
        self.queue.plan(due, Event::Decide { autoscaler, life, revision });
        self.tally.decisions += 1;
        if self.leading(autoscaler).is_none() {
            return;
        }
        let decision = outcome.decision;
        if decision.want != Some(world.scale) {
            tell!(
                self,
                "autoscaler {autoscaler} decides on r{revision}: {} -> {:?}, {}, {:?}, ready {}, stable {:?}, panic {:?}, held {}",
                world.scale.0,
                decision.want.map(|want| want.0),
                decision.because.word(),
                outcome.step,
                world.ready,
                decision.seen.stable,
                decision.seen.panic,
                world.held
            );
        }
        self.decision_is_lawful(autoscaler, revision, &outcome, &world);
        self.carry_out(autoscaler, revision, &outcome, &world);
    }

    fn carry_out(&mut self, autoscaler: usize, revision: usize, outcome: &Outcome, world: &World) {
        let mut wanted = outcome.step == Step::Seal;
        if wanted && self.plan.broken == Some(Broken::NoSeal) {
            wanted = false;
            self.order(autoscaler, revision, 0, Whose::Decision, world);
        }
        let keeper = &mut self.autoscalers[autoscaler].keepers[revision];
        let was_wanted = std::mem::replace(&mut keeper.zero_wanted, wanted);
        if wanted && !keeper.ordering {
            let expect = self.workloads[revision].version.to_string().into();
            self.seal(autoscaler, revision, SealEvent::Wanted { expect });
        } else if was_wanted {
            self.seal(autoscaler, revision, SealEvent::Unwanted);
        }
        match outcome.step {
            Step::Rest | Step::Seal => {}
            Step::Scale(to) => self.order(autoscaler, revision, to.0, Whose::Decision, world),
            Step::GoProxied => self.wish_path(false),
            Step::GoDirect => self.wish_path(true),
        }
    }

    fn wish_path(&mut self, direct: bool) {
        if self.route.wished != direct {
            self.route.wished = direct;
            let lag = self.draw.u64(10..200);
            self.queue.plan(self.now + lag, Event::PathWish { direct });
        }
    }

    fn order(&mut self, autoscaler: usize, revision: usize, to: u32, whose: Whose, world: &World) {
        let keeper = &self.autoscalers[autoscaler].keepers[revision];
        if whose == Whose::Decision && (keeper.ordering || keeper.patch_is_open() || to == world.scale.0) {
            return;
        }
        if whose == Whose::Decision {
            self.autoscalers[autoscaler].keepers[revision].ordering = true;
        }
        self.send_order(autoscaler, revision, to, self.workloads[revision].version, whose);
    }

    /// It arrives late, never, or without an answer while the API server is in trouble.
    pub(super) fn send_order(&mut self, autoscaler: usize, revision: usize, to: u32, expect: u64, whose: Whose) {
        let life = self.autoscalers[autoscaler].life;
        let trouble = self.now < self.api_out_until.max(self.autoscalers[autoscaler].api_cut_until);
        let (arrives, answered) = match trouble {
            false => (Some(self.draw.u64(2..60)), true),
            true if self.draw.bool() => (None, false),
            true => (Some(self.draw.u64(2..1_000)), false),
        };
        if let Some(lag) = arrives {
            let at = self.now + lag;
            self.queue.plan(at, Event::Order { autoscaler, life, revision, to, expect, whose, answered });
        }
        if !answered {
            let end = PatchEnd::Unknown;
            self.queue.plan(self.now + 1_000, Event::Ordered { autoscaler, life, revision, whose, end });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    pub(super) fn order_arrives(
        &mut self,
        autoscaler: usize,
        life: Life,
        revision: usize,
        to: u32,
        expect: u64,
        whose: Whose,
        answered: bool,
    ) {
        let end = if self.workloads[revision].version == expect {
            self.scale_changes(revision, to);
            PatchEnd::Done
        } else {
            PatchEnd::NotDone
        };
        if answered {
            let lag = self.draw.u64(1..20);
            self.queue.plan(self.now + lag, Event::Ordered { autoscaler, life, revision, whose, end });
        }
    }

    fn scale_changes(&mut self, revision: usize, to: u32) {
        self.scale_is_lawful(revision, to);
        let from = self.workloads[revision].scale;
        tell!(self, "r{revision} is scaled from {from} to {to}");
        self.workloads[revision].scale = to;
        self.workloads[revision].version += 1;
        if from == 0 || to == 0 {
            // Nobody is left who crashed.
            self.workloads[revision].crashes_in_a_row = 0;
        }
        self.tally.scaled(revision, to, self.now);
        // Those first that serve nobody yet, then the idlest.
        let mut victims: Vec<(bool, usize, u64)> = self.workloads[revision]
            .replicas
            .iter()
            .map(|replica| (replica.state == State::Ready, replica.inside.len(), u64::MAX - replica.id.0))
            .collect();
        victims.sort_unstable();
        let victims: Vec<u64> = victims.into_iter().map(|(_, _, id)| u64::MAX - id).collect();
        self.reconcile(revision, &victims);
    }

    pub(super) fn ordered(&mut self, autoscaler: usize, life: Life, revision: usize, whose: Whose, end: PatchEnd) {
        if !self.autoscalers[autoscaler].up || self.autoscalers[autoscaler].life != life {
            return;
        }
        match whose {
            Whose::Seal(id) => self.seal(autoscaler, revision, SealEvent::Patched { id, end }),
            Whose::Decision if end == PatchEnd::Unknown => {
                self.queue.plan(self.now + 1_500, Event::Read { autoscaler, life, revision, begun: None });
                return;
            }
            Whose::Decision => {
                self.autoscalers[autoscaler].keepers[revision].ordering = false;
                if end == PatchEnd::Done {
                    return;
                }
            }
        }
        self.decide_by(autoscaler, revision, self.now);
    }

    pub(super) fn read(&mut self, autoscaler: usize, life: Life, revision: usize, begun: Option<Moment>) {
        if !self.autoscalers[autoscaler].up || self.autoscalers[autoscaler].life != life {
            return;
        }
        let trouble = self.now < self.api_out_until.max(self.autoscalers[autoscaler].api_cut_until);
        match begun {
            Some(begun) => {
                let Workload { scale, version, .. } = &self.workloads[revision];
                let seen = if trouble {
                    ScaleSeen::Unknown
                } else {
                    ScaleSeen::At { replicas: ReplicaCount(*scale), version: version.to_string().into() }
                };
                self.seal(autoscaler, revision, SealEvent::ScaleRead { begun, seen });
            }
            None if trouble => {
                self.queue.plan(self.now + 250, Event::Read { autoscaler, life, revision, begun });
                return;
            }
            None => self.autoscalers[autoscaler].keepers[revision].ordering = false,
        }
        self.decide_by(autoscaler, revision, self.now);
    }

    fn judge_start(&mut self, autoscaler: usize, revision: usize) -> bool {
        let now = self.now_of(autoscaler);
        let at = self.now;
        let workload = &self.workloads[revision];
        let ready = workload.replicas.iter().any(|replica| replica.state == State::Ready);
        let starting = workload.replicas.iter().filter(|replica| replica.state == State::Starting);
        let first = starting.map(|replica| replica.created).min();
        let keeper = &mut self.autoscalers[autoscaler].keepers[revision];
        keeper.starting_since =
            first.map(|created| keeper.starting_since.map_or(created, |since| since.min(created))).filter(|_| !ready);
        let starting = Starting {
            generation: 1,
            ready,
            crashes_in_a_row: workload.crashes_in_a_row,
            starting_for: keeper.starting_since.map(|since| Duration::from_millis(at - since)),
            progress_deadline: PROGRESS_DEADLINE,
            wanted: 0 < keeper.held(now) || !keeper.scaler.policy().min.is_zero(),
        };
        let before = keeper.failed;
        keeper.failed = match keeper.start.judge(now, &starting) {
            StartState::Fine => None,
            StartState::Failed { retry_in } if retry_in.is_zero() && before.is_some() => before,
            StartState::Failed { retry_in } => Some(before.unwrap_or(now).max(now.plus(retry_in))),
        };
        let failed = keeper.failed;
        if failed != before && self.leading(autoscaler).is_some() {
            let retry_after = failed.map(|until| until.since(now));
            tell!(
                self,
                "autoscaler {autoscaler}: the start of r{revision} {}",
                match retry_after {
                    Some(retry_after) => format!("failed, again in {retry_after:?}"),
                    None => "may be tried again".to_owned(),
                }
            );
            for activator in 0..self.activators.len() {
                self.say_down(activator, autoscaler, Down::Refusal { revision, retry_after });
            }
        }
        before.is_some() != failed.is_some()
    }

    fn world(&mut self, autoscaler: usize, revision: usize) -> World {
        let now = self.now_of(autoscaler);
        let (ready, starting) = (self.count(revision, State::Ready), self.count(revision, State::Starting));
        let generation = self.route.generation;
        let pods = self.pods();
        let deciding = &mut self.autoscalers[autoscaler];
        let all_know = pods.iter().all(|pod| deciding.acknowledged.get(pod).is_some_and(|known| generation <= *known));
        let keeper = &mut deciding.keepers[revision];
        if keeper.path_direct != self.route.direct {
            keeper.path_direct = self.route.direct;
            keeper.path_since = now;
            keeper.path_acknowledged = None;
        }
        keeper.path_acknowledged = all_know.then(|| keeper.path_acknowledged.unwrap_or(now));
        let path = match keeper.path_direct {
            true => PathState::Direct,
            false => PathState::Proxied { since: keeper.path_since, acknowledged: keeper.path_acknowledged },
        };
        World {
            ready: ReplicaCount(ready),
            starting: ReplicaCount(starting),
            scale: ReplicaCount(self.workloads[revision].scale),
            path,
            direct_allowed: self.plan.sidecars && self.plan.percents.len() == 1,
            held: keeper.held(now),
            adopted: true,
            bypassed: false,
            contested: false,
            start_failed: keeper.failed.is_some(),
            missing: false,
        }
    }

    pub(super) fn pods(&self) -> Vec<Arc<str>> {
        self.activators.iter().map(|activator| Arc::clone(&activator.uid)).collect()
    }

    fn forget_who_is_gone(&mut self, autoscaler: usize, revision: usize) {
        let at = self.now;
        let pods = self.pods();
        let deciding = &mut self.autoscalers[autoscaler];
        deciding.streams.retain(|_, (_, heard)| at - *heard < STREAM_IS_DEAD);
        let keeper = &mut deciding.keepers[revision];
        let gone: Vec<Arc<str>> = keeper
            .told_of
            .iter()
            .filter(|uid| !pods.contains(uid) && !deciding.streams.contains_key(*uid))
            .cloned()
            .collect();
        for uid in gone {
            keeper.told_of.remove(&uid);
            keeper.scaler.forget_activator(&uid);
            keeper.held.remove(&uid);
            keeper.heard.remove(&uid);
        }
    }

    pub(super) fn leading(&self, autoscaler: usize) -> Option<u64> {
        let (epoch, until) = self.autoscalers[autoscaler].lead?;
        (self.now < until).then_some(epoch)
    }

    /// Renews the lease, takes it over where nobody has, or finds out that it is lost.
    pub(super) fn lease(&mut self, autoscaler: usize, life: Life) {
        let asking = &self.autoscalers[autoscaler];
        if !asking.up || asking.life != life {
            return;
        }
        self.queue.plan(self.now + RENEW, Event::Lease { autoscaler, life });
        let reaches = self.api_out_until.max(asking.api_cut_until) <= self.now;
        let had = asking.lead.is_some();
        if reaches {
            let mine = self.lease.holder == Some(autoscaler) && had;
            let free = self.lease.holder.is_none() || self.lease.renewed + LEASE <= self.now;
            // A successor of the holder takes its name, and leads again at once, in an epoch of its own.
            let again = self.lease.holder == Some(autoscaler) && !had;
            if mine {
                self.lease.renewed = self.now;
            } else if free || again {
                self.lease.epoch += 1;
                self.lease.holder = Some(autoscaler);
                self.lease.renewed = self.now;
            } else if had {
                return self.step_down(autoscaler);
            }
            if self.lease.holder == Some(autoscaler) {
                let (epoch, until) = (self.lease.epoch, self.now + RENEW_DEADLINE);
                self.autoscalers[autoscaler].lead = Some((epoch, until));
                if !mine {
                    self.lead_anew(autoscaler, Some(epoch));
                }
            }
        } else if had && self.leading(autoscaler).is_none() {
            self.step_down(autoscaler);
        }
    }

    pub(super) fn step_down(&mut self, autoscaler: usize) {
        if self.autoscalers[autoscaler].lead.take().is_some() {
            if self.lease.holder == Some(autoscaler) {
                self.lease.holder = None;
            }
            self.lead_anew(autoscaler, None);
        }
    }

    fn lead_anew(&mut self, autoscaler: usize, epoch: Option<u64>) {
        tell!(
            self,
            "autoscaler {autoscaler} {}",
            match epoch {
                Some(epoch) => format!("leads, epoch {epoch}"),
                None => "leads no more".to_owned(),
            }
        );
        for revision in 0..self.workloads.len() {
            self.seal(autoscaler, revision, SealEvent::LeadershipLost);
            let keeper = &mut self.autoscalers[autoscaler].keepers[revision];
            keeper.leader = epoch.map(|epoch| Leader::new(epoch, Limits::ROUSE));
            keeper.zero_wanted = false;
            self.decide_by(autoscaler, revision, self.now);
        }
        if let Some(epoch) = epoch {
            for activator in 0..self.activators.len() {
                self.say_down(activator, autoscaler, Down::Lead { epoch });
            }
        }
    }

    /// What a newcomer is told.
    pub(super) fn greet(&mut self, activator: usize, autoscaler: usize) {
        let now = self.now_of(autoscaler);
        let Some(epoch) = self.leading(autoscaler) else { return };
        self.say_down(activator, autoscaler, Down::Lead { epoch });
        for revision in 0..self.workloads.len() {
            if let Some(until) = self.autoscalers[autoscaler].keepers[revision].failed {
                let retry_after = Some(until.since(now));
                self.say_down(activator, autoscaler, Down::Refusal { revision, retry_after });
            }
        }
    }
}
