//! One revision's task: hear, decide, have it done.
//!
//! It judges nothing. Readings and wakes go into the scaler, the world is described to it, and its step is carried out;
//! what may be set to zero is the seal's (`sealing`). A wake decides at once: from the frame to the order there is no
//! timer. Everything else waits for the tick, because one evaluation may only add and take so much.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kpa::seal::{Leader, Member};
use kpa::{ActivatorReading, Change, Outcome, Rules, Scaler, SidecarReading, StartJudge, Step, Timers, World};
use platform::{Endpoint, Path, Replica, ReplicaState, Scale, ScaleError, ScaleOrder, ScaleVersion};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};
use units::{Moment, ReplicaCount, RevisionKey};

use crate::ground::Ground;
use crate::held::Held;
use crate::inbox::Heard;
use crate::metrics::{Replicas, RevisionMetrics};
use crate::orders::{Ended, Orders, Reader, Whose};
use crate::outcomes;
use crate::peers::Outbox;
use crate::settings::Settings;
use crate::shelf::{Place, Shown, Waits};

mod sealing;
mod sidecars;
mod start;
#[cfg(test)]
mod tests;
mod wakes;
mod world;

/// The pause before `scale` is read again, or an order that was refused is given again.
const PAUSE: Duration = Duration::from_millis(250);

/// Keeps one revision as it should be, until it is gone.
pub(crate) async fn keep(
    ground: Ground,
    facts: watch::Receiver<Arc<platform::Revision>>,
    inbox: mpsc::Receiver<Heard>,
) {
    let mut cluster = ground.cluster.clone();
    // Deciding by the defaults for a moment could take away what the configuration keeps.
    let Ok(read) = cluster.wait_for(Option::is_some).await.map(|read| read.clone()) else { return };
    let Some(read) = read else { return };
    let mut revision = Revision::new(ground, cluster, facts, inbox, read);
    while revision.live().await {}
}

/// What a sidecar said last.
#[derive(Clone, Copy, Debug)]
struct SidecarSeen {
    in_flight: u32,
    foreign: u32,
    settings: u64,
    /// Requests that came to it without an activator, in all.
    direct: u64,
    /// What it cut as it left: unary, streaming, upgraded.
    cut: [u64; 3],
}

/// An order that the facts may not show yet.
#[derive(Clone, Debug)]
struct Written {
    /// The version that the facts showed then: as long as they still do, they are older.
    before: ScaleVersion,
    scale: Scale,
}

/// How long the path has been as it is.
#[derive(Clone, Copy, Debug)]
struct PathSeen {
    path: Path,
    since: Moment,
    acknowledged: Option<Moment>,
}

struct Revision {
    key: RevisionKey,
    ground: Ground,
    cluster: watch::Receiver<Option<Arc<kpa::policy::Cluster>>>,
    facts: watch::Receiver<Arc<platform::Revision>>,
    inbox: mpsc::Receiver<Heard>,
    epoch: watch::Receiver<Option<u64>>,
    activators: watch::Receiver<Option<Arc<[platform::ActivatorPod]>>>,
    peer_changes: watch::Receiver<u64>,
    metrics: RevisionMetrics,
    place: Place,
    settings: Settings,
    scaler: Scaler,
    start: StartJudge,
    starting_since: Option<Moment>,
    /// Since when its start has failed: why, and when a wake is allowed again.
    failed: Option<(Arc<str>, Moment)>,
    leader: Option<Leader>,
    held: Held,
    sidecars: BTreeMap<Arc<str>, SidecarSeen>,
    /// Settings that each connected sidecar was told, and on which stream.
    told: BTreeMap<Arc<str>, (Outbox, u64)>,
    /// Number of the first frame not told to the scaler.
    next_frame: u64,
    orders: Orders,
    /// An order for replicas is under way, or its outcome is being found out.
    ordering: bool,
    refused: Option<String>,
    written: Option<Written>,
    path: PathSeen,
    /// A request for it has come through Rouse.
    asked_for: bool,
    /// The activators that the scaler was told of, and not to forget since.
    told_of: BTreeSet<Arc<str>>,
    /// Likewise the replicas.
    replicas_told_of: BTreeSet<Arc<str>>,
    /// Those that are there whose starts the scaler was told of.
    starts_told_of: BTreeSet<Arc<str>>,
    /// Who is not there to be asked whether it may go to zero, and since when, while that is waited for.
    absent: BTreeMap<Member, Moment>,
    /// Zero was wanted at the last decision.
    zero_wanted: bool,
    due: Moment,
}

impl Revision {
    fn new(
        ground: Ground,
        cluster: watch::Receiver<Option<Arc<kpa::policy::Cluster>>>,
        facts: watch::Receiver<Arc<platform::Revision>>,
        inbox: mpsc::Receiver<Heard>,
        read: Arc<kpa::policy::Cluster>,
    ) -> Self {
        let now = ground.clock.now();
        let revision = Arc::clone(&facts.borrow());
        let key = revision.key.clone();
        let settings = Settings::read(Arc::clone(&revision), read);
        let ready = count(&revision.replicas, ReplicaState::Ready);
        let rules = Rules { startup_aware: ground.config.startup_aware, ..Rules::rouse() };
        let scaler = Scaler::new(settings.in_force().policy.clone(), rules, now, ready);
        let shown = Shown {
            facts: facts.clone(),
            settings: Arc::clone(settings.in_force()),
            decisions: Default::default(),
            wakes: Default::default(),
            series: Default::default(),
            ledger: Default::default(),
            failed: None,
            in_flight: BTreeMap::new(),
            sealing: false,
            asked_for: false,
            zero_blocked_by: Vec::new(),
            waits: None,
        };
        let place = ground.shelf.put(key.clone(), shown);
        let epoch = ground.epoch.clone();
        let activators = ground.activators.clone();
        let mut revision = Self {
            cluster,
            inbox,
            epoch,
            activators,
            peer_changes: ground.peers.changes(),
            metrics: ground.metrics.of_revision(&key),
            place,
            settings,
            scaler,
            start: StartJudge::new(start::generation(&revision)),
            starting_since: None,
            failed: None,
            leader: None,
            held: Held::default(),
            sidecars: BTreeMap::new(),
            told: BTreeMap::new(),
            next_frame: ground.peers.next_frame(),
            orders: Orders::new(Arc::clone(&ground.actuator), key.clone()),
            ordering: false,
            refused: None,
            written: None,
            path: PathSeen { path: Path::Proxied, since: now, acknowledged: None },
            asked_for: false,
            told_of: BTreeSet::new(),
            replicas_told_of: BTreeSet::new(),
            starts_told_of: BTreeSet::new(),
            absent: BTreeMap::new(),
            zero_wanted: false,
            due: now,
            facts,
            key,
            ground,
        };
        revision.lead_anew(now);
        revision.activators_changed();
        revision.facts_changed();
        revision
    }

    /// Decides if it is time to, then waits for the next thing and takes it in. `false` once the revision is gone.
    async fn live(&mut self) -> bool {
        let now = self.ground.clock.now();
        if self.due <= now {
            self.decide(now);
        }
        let leader = self.leader.as_ref().filter(|leader| leader.in_round());
        let in_round = leader.is_some();
        // Between rounds it is the decisions that ask for zero. A moment later, so that what ends then has ended.
        let look_again = leader.and_then(Leader::look_again_at).map(|moment| moment.plus(Duration::from_millis(1)));
        let until = look_again.map_or(self.due, |moment| moment.min(self.due));
        // What is dropped here is only waited for: channels keep what they have, and orders go on being polled.
        // Not biased: a peer that never stops talking keeps nothing else from being noticed.
        tokio::select! {
            ended = self.orders.next() => self.ended(ended),
            Some(heard) = self.inbox.recv() => self.hear(heard),
            changed = self.facts.changed() => {
                if changed.is_err() {
                    return false;
                }
                self.facts_changed();
            }
            changed = self.epoch.changed() => {
                if changed.is_err() {
                    return false;
                }
                self.epoch_changed();
            }
            // Whoever says no more is the hub's to notice; here it would be news at every look.
            changed = self.activators.changed() => {
                if changed.is_err() {
                    return false;
                }
                self.activators_changed();
            }
            changed = self.cluster.changed() => {
                if changed.is_err() {
                    return false;
                }
                self.settings_changed();
            }
            _ = self.peer_changes.changed(), if in_round => self.seal_time(),
            () = self.ground.clock.sleep_until(until) => self.seal_time(),
        }
        true
    }

    /// Asks the scaler, keeps its answer, and has it carried out by whoever leads.
    fn decide(&mut self, now: Moment) {
        // No more than were there, in case somebody never stops talking.
        for _ in 0..self.inbox.len() {
            let Ok(heard) = self.inbox.try_recv() else { break };
            self.hear(heard);
        }
        self.hear_frames(None);
        self.forget_who_is_gone(now);
        self.judge_start(now);
        let endpoint = self.endpoint();
        let world = self.world(now, endpoint.as_deref());
        let outcome = self.scaler.decide(now, &world);
        self.due = now.plus(outcome.ask_again.clamp(Duration::from_millis(1), self.ground.config.tick));
        let retry_at = self.failed.as_ref().map(|(_, until)| until.plus(Duration::from_millis(1)));
        if let Some(retry_at) = retry_at.filter(|retry_at| now < *retry_at) {
            self.due = self.due.min(retry_at);
        }
        self.show(now, &outcome, &world);
        if self.ground.leading().is_some() {
            self.carry_out(now, &outcome, &world);
        }
        self.tell_settings(endpoint.as_deref());
    }

    /// Tells the scaler of the activators' frames that it was not told of, those before a moment or all.
    fn hear_frames(&mut self, before: Option<Moment>) {
        let (scaler, told) = (&mut self.scaler, &mut self.told_of);
        let mut shown = self.place.lock();
        self.next_frame = self.ground.peers.frames_from(self.next_frame, before, |at, activator| {
            scaler.activator_heard(at, activator);
            shown.series.heard_nothing(at, activator);
            if !told.contains(activator) {
                told.insert(Arc::clone(activator));
            }
        });
    }

    fn carry_out(&mut self, now: Moment, outcome: &Outcome, world: &World) {
        self.want_seal(now, outcome.step == Step::Seal);
        match outcome.step {
            Step::Rest | Step::Seal => {}
            Step::Scale(to) => self.order(to, world),
            Step::GoProxied => self.wish(Path::Proxied),
            Step::GoDirect => self.wish(Path::Direct),
        }
    }

    /// Orders replicas, unless it is not known from how many.
    fn order(&mut self, to: ReplicaCount, world: &World) {
        let patch_is_open = self.leader.as_ref().is_some_and(Leader::patch_is_open);
        let (Some((epoch, _)), Some(scale)) = (self.ground.leading(), self.scale()) else { return };
        if self.ordering || patch_is_open || to == world.scale || to.is_zero() {
            return;
        }
        self.ordering = true;
        let victims = if to < world.scale { self.victims() } else { Vec::new() };
        let order = ScaleOrder { revision: self.key.clone(), to, epoch, expect: Some(scale.version), victims };
        self.orders.scale(Whose::Decision, order);
    }

    fn wish(&mut self, path: Path) {
        let facts = Arc::clone(&self.facts.borrow());
        self.ground.endpoints.wish(&facts.endpoint, &self.key, path);
    }

    /// An order or a reading ended.
    fn ended(&mut self, ended: Ended) {
        let now = self.ground.clock.now();
        match ended {
            Ended::Scale(whose, to, end) => {
                self.metrics.all().order(word(&end));
                let known = match &end {
                    Ok(scale) => Some(scale.clone()),
                    Err(ScaleError::Conflict { now: scale }) => Some(scale.clone()),
                    Err(_) => None,
                };
                if let Some(scale) = known {
                    self.written(scale);
                }
                match whose {
                    Whose::Decision => self.order_ended(now, to, end),
                    Whose::Seal(id) => self.seal_patched(now, id, &end),
                }
            }
            Ended::Read(reader, seen) => {
                if let Ok(scale) = &seen {
                    self.written(scale.clone());
                }
                match reader {
                    Reader::Decision => match seen {
                        Ok(_) | Err(ScaleError::Gone) => {
                            self.ordering = false;
                            self.due = now;
                        }
                        Err(_) => self.orders.read(Reader::Decision, PAUSE),
                    },
                    Reader::Seal(begun) => self.seal_read(now, begun, &seen),
                }
            }
        }
    }

    fn order_ended(&mut self, now: Moment, to: ReplicaCount, end: Result<Scale, ScaleError>) {
        self.ordering = false;
        match end {
            Ok(_) => {
                self.refused = None;
                self.wake_was_ordered(now);
            }
            Err(error @ ScaleError::Conflict { .. }) => {
                info!(revision = %self.key, %to, %error, "deciding anew");
                self.due = now;
            }
            Err(ScaleError::Unknown { why }) => {
                warn!(revision = %self.key, %to, error = why, "an order went unanswered, reading what became of it");
                self.ordering = true;
                self.orders.read(Reader::Decision, Duration::ZERO);
            }
            Err(ScaleError::Refused { why }) => {
                if self.refused.as_ref() != Some(&why) {
                    warn!(revision = %self.key, %to, error = why, "an order was refused, trying again");
                }
                self.refused = Some(why);
                self.due = self.due.min(now.plus(PAUSE));
            }
            Err(error @ (ScaleError::Gone | ScaleError::NotLeading)) => {
                debug!(revision = %self.key, %to, %error, "an order came to nothing");
            }
        }
    }

    /// Remembers what `scale` says, for as long as the facts are older.
    fn written(&mut self, scale: Scale) {
        let before = self.facts.borrow().scale().map(|scale| scale.version.clone());
        self.written = before.map(|before| Written { before, scale });
    }

    /// What `scale` says, as far as is known.
    fn scale(&mut self) -> Option<Scale> {
        let facts = self.facts.borrow();
        let told = facts.scale()?;
        match &self.written {
            Some(written) if written.before == told.version => Some(written.scale.clone()),
            Some(_) | None => Some(told.clone()),
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Wake { activator, at, wake } => self.hear_wake(activator, at, &wake),
            Heard::Demand { activator, incarnation, at, elapsed_us, demand } => {
                if demand.held == 0 {
                    self.held.nothing_at(&activator);
                }
                if 0 < demand.requests {
                    self.was_asked_for();
                }
                self.told_of.insert(Arc::clone(&activator));
                let wire::Demand { requests, concurrency_us, in_flight, .. } = *demand;
                // In their order: a frame without this revision says that nothing happened up to there.
                self.hear_frames(Some(at));
                let mut shown = self.place.lock();
                shown.series.counted(at, &activator, incarnation, &demand);
                shown.ledger.say(&activator, outcomes::reading(&demand, at, elapsed_us));
                drop(shown);
                let reading = ActivatorReading { incarnation, elapsed_us, requests, concurrency_us, in_flight };
                self.scaler.activator(at, &activator, reading);
            }
            Heard::Sidecar { replica, incarnation, at, stats } => {
                if !self.facts.borrow().replicas.iter().any(|known| known.name == replica) {
                    debug!(revision = %self.key, %replica, "counts of a replica that is not known");
                    return;
                }
                let reading = SidecarReading {
                    incarnation,
                    elapsed_us: stats.elapsed_us,
                    requests: stats.requests,
                    proxied_requests: stats.proxied_requests,
                    concurrency_us: stats.concurrency_us,
                    proxied_concurrency_us: stats.proxied_concurrency_us,
                    in_flight: stats.in_flight,
                };
                self.scaler.sidecar(at, &replica, reading);
                self.replicas_told_of.insert(Arc::clone(&replica));
                // Where the path is direct nobody else sees that it is asked for.
                if 0 < stats.requests {
                    self.was_asked_for();
                }
                let wire::SidecarStats { in_flight, foreign, settings_generation: settings, .. } = stats;
                let direct = stats.requests - stats.proxied_requests;
                let seen = self.sidecars.get(&replica);
                let (before, cut_before) = seen.map_or((direct, [0; 3]), |seen| (seen.direct, seen.cut));
                let cut = [stats.cut_unary, stats.cut_streaming, stats.cut_upgraded];
                self.were_cut(&replica, cut_before, cut);
                {
                    let mut shown = self.place.lock();
                    shown.in_flight.insert(Arc::clone(&replica), in_flight);
                    shown.series.direct(at, direct.saturating_sub(before));
                }
                self.sidecars.insert(replica, SidecarSeen { in_flight, foreign, settings, direct, cut });
            }
            Heard::SealAnswer { activator, incarnation, answer } => self.seal_answer(activator, incarnation, &answer),
            Heard::IdleAnswer { replica, incarnation, answer } => self.idle_answer(replica, incarnation, answer),
            Heard::SidecarCame | Heard::EndpointChanged => {
                let endpoint = self.endpoint();
                self.tell_settings(endpoint.as_deref());
            }
        }
    }

    fn facts_changed(&mut self) {
        let now = self.ground.clock.now();
        let facts = Arc::clone(&self.facts.borrow_and_update());
        let there = |name: &Arc<str>| facts.replicas.iter().any(|replica| replica.name == *name);
        // Also one that was only expected, and went before its sidecar was heard: else it is waited for for good.
        let gone: Vec<Arc<str>> = self.replicas_told_of.extract_if(.., |name| !there(name)).collect();
        for name in gone {
            self.sidecars.remove(&name);
            self.place.lock().in_flight.remove(&name);
            self.scaler.forget_replica(&name);
        }
        self.starts_told_of.retain(there);
        for replica in facts.replicas.iter().filter(|replica| replica.state == ReplicaState::Ready) {
            if self.starts_told_of.insert(Arc::clone(&replica.name)) {
                self.scaler.replica_started(replica.since.since(replica.created));
            }
        }
        for replica in facts.replicas.iter().filter(|replica| replica.state == ReplicaState::Leaving) {
            self.scaler.replica_leaves(&replica.name);
        }
        if facts.sidecars {
            for replica in facts.replicas.iter().filter(|replica| replica.state == ReplicaState::Ready) {
                self.scaler.expect_replica(now, &replica.name);
                self.replicas_told_of.insert(Arc::clone(&replica.name));
            }
        }
        let [ready, starting] =
            [ReplicaState::Ready, ReplicaState::Starting].map(|state| count(&facts.replicas, state).0);
        self.place.lock().series.replicas(now, ready, starting);
        self.settings_changed();
        self.wake_went_on(now, &facts.replicas);
        self.seal_time();
        let endpoint = self.endpoint();
        self.tell_settings(endpoint.as_deref());
        if self.judge_start(now) {
            self.due = now;
        }
    }

    fn settings_changed(&mut self) {
        let now = self.ground.clock.now();
        let facts = Arc::clone(&self.facts.borrow());
        let Some(cluster) = self.cluster.borrow_and_update().clone() else { return };
        if self.settings.read_again(facts, cluster) {
            info!(revision = %self.key, "new settings are in force");
            self.scaler.set_policy(self.settings.in_force().policy.clone(), now);
            self.due = now;
        }
        self.place.lock().settings = Arc::clone(self.settings.in_force());
    }

    fn epoch_changed(&mut self) {
        let now = self.ground.clock.now();
        self.lead_anew(now);
        // What was told by another leader may be something else, and what was ordered is not known.
        self.told.clear();
        if self.failed.is_some() {
            self.tell_all_of_refusal(now);
        }
        self.due = now;
    }

    fn activators_changed(&mut self) {
        let now = self.ground.clock.now();
        let Some(pods) = self.activators.borrow_and_update().clone() else { return };
        for pod in pods.iter() {
            self.scaler.expect_activator(now, &pod.uid);
            self.told_of.insert(Arc::clone(&pod.uid));
        }
        self.forget_who_is_gone(now);
        self.seal_time();
    }

    /// Keeps a decision, counts it, and logs it if it says something new.
    fn show(&mut self, now: Moment, outcome: &Outcome, world: &World) {
        let decision = outcome.decision;
        let waits = Waits {
            timers: Timers {
                next_start: self.failed.as_ref().map(|(_, until)| *until),
                ..self.scaler.timers(now, world, &decision)
            },
            path: world.path,
            silent: self.scaler.silent(now).map(|(name, for_so_long)| (name.into(), now.minus(for_so_long))).collect(),
        };
        let facts = Arc::clone(&self.facts.borrow());
        let desired = decision.want.or(facts.scale().map(|scale| scale.replicas));
        self.metrics.set_replicas(Replicas {
            desired: desired.unwrap_or_default().0,
            ready: decision.seen.ready.0,
            starting: decision.seen.starting.0,
            leaving: count(&facts.replicas, ReplicaState::Leaving).0,
        });
        let zero_blocked_by = self.blocked_by(now, decision.because);
        let change = {
            let mut shown = self.place.lock();
            shown.zero_blocked_by = zero_blocked_by;
            shown.waits = Some(waits);
            let target = shown.settings.policy.target;
            shown.series.decided(now, &decision, desired, target);
            shown.decisions.keep(now, decision)
        };
        // What a follower decides comes to nothing: it is kept, for who asks, and neither counted nor told.
        if self.ground.leading().is_none() {
            return;
        }
        self.metrics.decided(&decision);
        let Change::From(before) = change else { return };
        let from = before.and_then(|before| before.want).or(facts.scale().map(|scale| scale.replicas));
        if from == desired && before.is_none_or(|before| before.because == decision.because) {
            return;
        }
        let demand = if decision.seen.panicking { decision.seen.panic } else { decision.seen.stable };
        info!(
            revision = %self.key,
            from = from.map(|from| from.0),
            to = desired.map(|to| to.0),
            because = decision.because.word(),
            demand = demand.map(|demand| (demand * 10.0).round() / 10.0),
            held = decision.seen.held,
            "decided"
        );
    }

    fn endpoint(&self) -> Option<Arc<Endpoint>> {
        let endpoint = self.facts.borrow().endpoint.clone();
        self.ground.endpoints.get(&endpoint)
    }
}

fn count(replicas: &[Replica], state: ReplicaState) -> ReplicaCount {
    let count = replicas.iter().filter(|replica| replica.state == state).count();
    ReplicaCount(u32::try_from(count).unwrap_or(u32::MAX))
}

fn word(end: &Result<Scale, ScaleError>) -> &'static str {
    match end {
        Ok(_) => "done",
        Err(ScaleError::Conflict { .. }) => "conflict",
        Err(ScaleError::NotLeading) => "not-leading",
        Err(ScaleError::Gone) => "gone",
        Err(ScaleError::Refused { .. }) => "refused",
        Err(ScaleError::Unknown { .. }) => "unknown",
    }
}
