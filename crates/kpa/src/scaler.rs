//! One revision, everything together: readings in, a decision and the next step out.
//!
//! The decider's wish is taken through the bounds and then through the reasons to wait that Knative has no word for.
//! Each rule that changes the number names itself, so the last one to do so is the reason of the decision.
//!
//! Absent is not zero. While a reporter that counts is silent, the wish may only raise; that is decided here, because
//! only here it is known who should be talking.

mod stage;
mod undeducted;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use units::{Moment, ReplicaCount};

use crate::collect::{Counters, Reporter, Seconds};
use crate::decider::burst_room;
use crate::startup::Startup;
use crate::{
    ActivatorReading, Because, Bounds, BurstRoom, Decider, Decision, Limits, Load, Metric, Outcome, PathState, Policy,
    Rules, Seen, Series, SidecarReading, Stat, Status, Step, Timers, Wish, World, threshold,
};
use stage::{PathWish, Stage, Standing};
use undeducted::Undeducted;

/// How often a decision is taken anew at the latest, as in Knative.
pub const TICK: Duration = Duration::from_secs(2);

/// An activator sends a frame each second; one that missed two is unheard.
const ACTIVATOR_SILENCE: Duration = Duration::from_secs(2);

/// An idle sidecar sends every 5 s, and may be a second late.
const SIDECAR_SILENCE: Duration = Duration::from_secs(6);

/// However short a wait: a caller that asks again at once would spin.
const SOONEST: Duration = Duration::from_millis(10);

/// One revision's windows and state.
#[derive(Debug)]
pub struct Scaler {
    policy: Policy,
    rules: Rules,
    observing: Moment,
    windows: Windows,
    decider: Decider,
    /// In one order, so that sums over them come out the same whenever the same is replayed.
    replicas: BTreeMap<Box<str>, Reporter>,
    activators: BTreeMap<Box<str>, Activator>,
    /// What sidecars' proxied parts have added up to that were counted as demand, because the activator they came
    /// through was unheard; it is taken off what that activator tells when it is heard again.
    undeducted: Undeducted,
    standing: Standing,
    startup: Startup,
    /// When calm work was last learned from.
    learned: Option<Moment>,
    /// What the first decision found; then on its way to the initial scale or past it.
    found: Option<Found>,
}

/// Both metrics, always: which of them decides can change at any time.
#[derive(Debug)]
struct Windows {
    concurrency: Series,
    requests: Series,
    /// The last second in which anything was counted.
    busy: Option<u64>,
}

impl Windows {
    fn new(policy: &Policy) -> Self {
        Self { concurrency: Series::new(policy), requests: Series::new(policy), busy: None }
    }

    /// What came through an activator has been told by it, so it is deducted.
    fn record(&mut self, seconds: Seconds) {
        let oldest = seconds.last.saturating_sub(self.concurrency.seconds());
        let each = seconds.each;
        if 0.0 < each.average_concurrency || 0.0 < each.request_count {
            self.busy = self.busy.max(Some(seconds.last));
        }
        for second in seconds.first.max(oldest)..=seconds.last {
            let at = Moment::from_unix(Duration::from_secs(second));
            self.concurrency.record(at, each.average_concurrency - each.average_proxied_concurrency);
            self.requests.record(at, each.request_count - each.proxied_count);
        }
    }
}

#[derive(Debug)]
struct Activator {
    reporter: Reporter,
    /// When it last had anything of this revision, as far as is known.
    routed: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    scale: ReplicaCount,
    initialized: bool,
}

/// A number on its way through the rules.
#[derive(Clone, Copy)]
struct Running {
    want: u32,
    because: Because,
    max: u32,
}

impl Running {
    /// At least so many, within the maximum.
    fn at_least(&mut self, floor: u32, because: Because) {
        let floor = floor.min(self.max);
        if self.want < floor {
            *self = Self { want: floor, because, ..*self };
        }
    }
}

impl Scaler {
    /// A scaler without history. `ready` replicas were found.
    pub fn new(policy: Policy, rules: Rules, now: Moment, ready: ReplicaCount) -> Self {
        Self {
            observing: now,
            windows: Windows::new(&policy),
            decider: Decider::new(&policy, rules, now, ready),
            replicas: BTreeMap::new(),
            activators: BTreeMap::new(),
            undeducted: Undeducted::default(),
            standing: Standing {
                status: if ready.is_zero() { Status::Activating { queued: false } } else { Status::Active },
                since: now,
            },
            startup: Startup::default(),
            learned: None,
            found: None,
            policy,
            rules,
        }
    }

    /// New settings, in force from now on. What was observed is kept; but a change of how seconds are averaged begins
    /// new windows.
    pub fn set_policy(&mut self, policy: Policy, now: Moment) {
        if policy.aggregation == self.policy.aggregation {
            self.windows.concurrency.resize(now, &policy, self.rules);
            self.windows.requests.resize(now, &policy, self.rules);
        } else {
            self.windows = Windows::new(&policy);
            self.observing = now;
        }
        self.decider.follow(&policy);
        self.policy = policy;
    }

    /// The settings in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// When what it waits for will change by itself, as of this decision; for [`crate::outlook()`]. When a start may be
    /// tried again is known elsewhere.
    pub fn timers(&self, now: Moment, world: &World, decision: &Decision) -> Timers {
        let only_upwards = if !world.adopted {
            Some(Because::NotAdopted)
        } else if world.contested {
            Some(Because::ScaleConflict)
        } else if self.activator_unheard(now) {
            Some(Because::ActivatorUnheard)
        } else {
            // Without any data it is left alone for the same reason.
            Some(Because::NoData).filter(|_| self.sidecar_unheard(now) || decision.because == Because::NoData)
        };
        let learned = self.rules.startup_aware && self.policy.metric == Metric::Concurrency;
        Timers {
            status: self.standing.status,
            status_since: self.standing.since,
            busy_until: self.windows.busy.map(|second| Moment::from_unix(Duration::from_secs(second + 1))),
            in_flight: self.in_flight(),
            panic_until: self.decider.panics_until(self.policy.stable_window),
            delay_until: decision.want.and_then(|want| self.decider.delays_until(want)),
            delay_to_zero_until: self.decider.delays_until(ReplicaCount(1)),
            next_start: None,
            only_upwards,
            bypassed: world.bypassed,
            young_until: self.rules.young_window_never_lowers.then(|| self.observing.plus(self.policy.stable_window)),
            learned,
        }
    }

    /// Activators and replicas whose silence keeps it from being lowered, and for how long they have been silent.
    pub fn silent(&self, now: Moment) -> impl Iterator<Item = (&str, Duration)> {
        let activators = self.unheard(now).map(|(name, activator)| (name, activator.reporter.heard_at()));
        let sidecars = self.silent_sidecars(now).map(|(name, reporter)| (name, reporter.heard_at()));
        activators.chain(sidecars).map(move |(name, heard)| (name, now.since(heard)))
    }

    /// A sidecar's counters arrived.
    pub fn sidecar(&mut self, now: Moment, replica: &str, reading: SidecarReading) {
        let (observing, untold) = (self.observing, self.untold_since(now));
        let reporter = reporter(&mut self.replicas, replica, || Reporter::new(now));
        reporter.note(now);
        let Some(seconds) = reporter.read(now, observing, Counters::from(reading), reading.in_flight) else { return };
        let Some(untold) = untold else {
            self.undeducted = Undeducted::default();
            return self.windows.record(seconds);
        };
        // Whoever should tell the proxied part of these seconds is silent, so it is taken from here.
        let (told, untold) = seconds.split(untold);
        if let Some(untold) = untold {
            self.undeducted.add(untold);
            self.windows.record(Seconds { each: untold.each.with_proxied_part(), ..untold });
        }
        if let Some(told) = told {
            self.windows.record(told);
        }
    }

    /// An activator's counters for this revision arrived.
    pub fn activator(&mut self, now: Moment, activator: &str, reading: ActivatorReading) {
        self.activator_heard(now, activator);
        let observing = self.observing;
        let Some(activator) = self.activators.get_mut(activator) else { return };
        activator.routed = Some(now);
        let came_back = ACTIVATOR_SILENCE < activator.reporter.was_silent_for();
        let counters = Counters::from(reading);
        let Some(seconds) = activator.reporter.read(now, observing, counters, reading.in_flight) else { return };
        let Some((first, last)) = self.undeducted.span.filter(|_| came_back) else {
            return self.windows.record(seconds);
        };
        let (before, rest) = seconds.split(first);
        let (told_by_sidecars, after) = rest.map_or((None, None), |rest| rest.split(last + 1));
        if let Some(told) = told_by_sidecars {
            let each = self.undeducted.take_off(told);
            self.windows.record(Seconds { each, ..told });
        }
        for untold in [before, after].into_iter().flatten() {
            self.windows.record(untold);
        }
    }

    /// A frame of this activator arrived, with or without anything about this revision.
    pub fn activator_heard(&mut self, now: Moment, activator: &str) {
        self.expect_activator(now, activator);
        if let Some(seconds) = self.activators.get_mut(activator).and_then(|known| known.reporter.hear(now)) {
            self.windows.record(seconds);
        }
    }

    /// This activator exists, says the catalogue; it is waited for like one that was heard.
    pub fn expect_activator(&mut self, now: Moment, activator: &str) {
        // Right after a restart nobody knows who has routed to it; so everyone may have.
        let routed = self.is_young(now).then_some(now);
        reporter(&mut self.activators, activator, || Activator { reporter: Reporter::new(now), routed });
    }

    /// This replica is ready and has a sidecar, says the catalogue; it is waited for like one that was heard.
    pub fn expect_replica(&mut self, now: Moment, replica: &str) {
        reporter(&mut self.replicas, replica, || Reporter::new(now));
    }

    /// This replica is leaving: what it says still counts, and that it falls silent means nothing any more.
    pub fn replica_leaves(&mut self, replica: &str) {
        if let Some(reporter) = self.replicas.get_mut(replica) {
            reporter.leave();
        }
    }

    /// A replica became ready for the first time, so long after it was made. To be told once of each.
    pub fn replica_started(&mut self, took: Duration) {
        self.startup.learn_start(took);
    }

    /// The replica is gone.
    pub fn forget_replica(&mut self, replica: &str) {
        self.replicas.remove(replica);
    }

    /// The activator is gone, or out of every path for the grace.
    pub fn forget_activator(&mut self, activator: &str) {
        self.activators.remove(activator);
    }

    /// How many replicas, why, and what to do about it.
    pub fn decide(&mut self, now: Moment, world: &World) -> Outcome {
        let (bounds, up) = self.bounds(world);
        let (min, max) = (bounds.min.0, bounds.max.map_or(u32::MAX, |max| max.max(bounds.min).0));
        for activator in self.activators.values_mut() {
            if let Some(idle) = activator.reporter.idle() {
                self.windows.record(idle);
            }
        }
        let metric = self.policy.metric;
        let load = (!self.series(metric).is_empty(now)).then(|| self.load(now, metric));
        let wish = load.map(|load| match (self.rules.startup_aware, self.policy.metric) {
            (true, Metric::Concurrency) => self.startup_aware(now, world, load),
            (false, _) | (true, Metric::Rps) => self.decider.decide(now, world.ready, load, &self.policy),
        });
        let seen = self.seen(world, load);
        let limits = Limits {
            min: bounds.min,
            max: bounds.max,
            rate_up: wish.map_or(world.scale, |wish| wish.rate_up),
            rate_down: wish.map_or(world.scale, |wish| wish.rate_down),
            wait: None,
        };
        let burst_room = wish.map_or(BurstRoom(-1), |wish| wish.burst_room);
        let told = |want, because, wait, step| Outcome {
            decision: Decision { want, burst_room, because, seen, limits: Limits { wait, ..limits } },
            step,
            ask_again: wait.map_or(TICK, |wait: Duration| wait.clamp(SOONEST, TICK)),
        };

        if world.missing {
            return told(None, Because::NoData, None, Step::Rest);
        }
        let failed = world.start_failed && world.ready.is_zero();
        let held = if failed { 0 } else { world.held };
        let mut running = match wish {
            Some(wish) => Running { want: wish.want.0, because: wish.because, max },
            // A minimum holds without data too. Nothing else can be said.
            None if failed || 0 < held || world.scale.0 < min => Running { want: 0, because: Because::Steady, max },
            None => {
                self.standing = self.standing.after(now, None, world.ready, up);
                let step = match world.path {
                    PathState::Direct if !self.rules.path_stays_without_data || !world.direct_allowed => {
                        Step::GoProxied
                    }
                    PathState::Direct | PathState::Proxied { .. } => Step::Rest,
                };
                let because = if world.scale.is_zero() { Because::Zero } else { Because::NoData };
                return told(None, because, None, step);
            }
        };
        let bounded = bounds.apply(ReplicaCount(running.want)).0;
        if bounded != running.want {
            let because = if running.want < min { bounds.because } else { Because::Maximum };
            running = Running { want: bounded, because, ..running };
        }
        if failed {
            running = Running { want: min, because: Because::StartFailed, ..running };
        }
        if 0 < held {
            self.wake(held, world, &mut running);
        }
        let stage = self.stage(now, world, up, running.want, failed);
        if !failed {
            self.only_upwards(now, world, &mut running);
        }
        self.leave_as_found(world, &mut running);

        let because = running.because;
        let stage = if running.want == 0 { stage } else { None };
        let (want, because, wait, path) = match stage {
            None => (ReplicaCount(running.want), because, None, PathWish::ByRoom),
            Some(Stage::Keep { want, because, wait, path }) => (ReplicaCount(want.0.min(max)), because, wait, path),
            Some(Stage::Seal) => {
                let because = if failed { Because::StartFailed } else { Because::Sealed };
                return told(Some(ReplicaCount::ZERO), because, None, Step::Seal);
            }
            Some(Stage::Zero | Stage::Deactivate) => {
                let because = if failed { Because::StartFailed } else { Because::Zero };
                let step = if world.path == PathState::Direct { Step::GoProxied } else { Step::Rest };
                return told(Some(ReplicaCount::ZERO), because, None, step);
            }
        };
        let step = if want == world.scale { path_step(world, burst_room, path) } else { Step::Scale(want) };
        told(Some(want), because, wait, step)
    }

    /// The averages, and what reporters that are a moment late would add to them. Frames come about once a second but
    /// not all at the same instant; without this, each decision between two of them would take the latest second of
    /// the later one for idle, and one lost frame would lower a revision that stands at an edge.
    fn load(&self, now: Moment, metric: Metric) -> Load {
        let series = self.series(metric);
        let mut load = series.load(now);
        let Some(newest) = series.newest() else { return load };
        let unheard = self.activator_unheard(now);
        let mut add = |reporter: &Reporter, proxied_is_told: bool| {
            let Some((seconds, each)) = reporter.late(newest) else { return };
            let each = if proxied_is_told { each } else { each.with_proxied_part() };
            let share = series.share_of_newest(now, seconds);
            let value = value(each, metric);
            load.stable += value * share.stable;
            load.panic += value * share.panic;
        };
        for activator in self.activators.values() {
            if now.since(activator.reporter.heard_at()) <= ACTIVATOR_SILENCE {
                add(&activator.reporter, true);
            }
        }
        for replica in self.replicas.values() {
            if now.since(replica.heard_at()) <= SIDECAR_SILENCE {
                add(replica, !unheard);
            }
        }
        load
    }

    /// The wish for what the load stands for; see `startup`. It learns from moments in which replicas stood at their
    /// target at most and none was missing, so that nobody waited.
    fn startup_aware(&mut self, now: Moment, world: &World, load: Load) -> Wish {
        let rate = self.load(now, Metric::Rps);
        let calm =
            world.held == 0 && world.starting.is_zero() && load.panic <= self.policy.target * f64::from(world.ready.0);
        if calm && self.learned.is_none_or(|learned| learned < now) {
            self.learned = Some(now);
            self.startup.learn_work(load.panic, rate.panic);
        }
        let held_at_once = f64::from(world.ready.0) * self.policy.total;
        let stands_for = Load {
            stable: self.startup.load(load.stable, rate.stable, held_at_once),
            panic: self.startup.load(load.panic, rate.panic, held_at_once),
        };
        let coming = ReplicaCount(world.ready.0.saturating_add(world.starting.0));
        let mut wish = self.decider.decide(now, coming, stands_for, &self.policy);
        wish.burst_room = burst_room(world.ready, load.panic, &self.policy);
        let plain = if self.decider.panicking() { load.panic.max(load.stable) } else { load.stable };
        let asked = (plain / self.policy.target).ceil().min(f64::from(wish.rate_up.0));
        if f64::from(wish.want.0) < asked && matches!(wish.because, Because::Steady | Because::Panicking) {
            wish.because = Because::OnItsWay;
        }
        wish
    }

    fn seen(&self, world: &World, load: Option<Load>) -> Seen {
        Seen {
            stable: load.map(|load| load.stable),
            panic: load.map(|load| load.panic),
            ready: world.ready,
            starting: world.starting,
            held: world.held,
            panicking: self.decider.panicking(),
        }
    }

    /// What is allowed, and how many replicas must be ready for the revision to count as up.
    ///
    /// The initial scale counts until it was reached once. A revision that is found below it has been there before:
    /// whoever made it set it to its initial scale.
    fn bounds(&mut self, world: &World) -> (Bounds, ReplicaCount) {
        let initial = self.policy.initial;
        let found = self.found.get_or_insert(Found { scale: world.scale, initialized: world.scale < initial });
        let least = if self.policy.reachable { self.policy.min } else { ReplicaCount::ZERO };
        // Reached is reached from this decision on: a second one at the same instant finds nothing else.
        found.initialized |= threshold(least, initial, found.initialized) <= world.ready;
        (Bounds::of(&self.policy, found.initialized), threshold(least, initial, found.initialized))
    }

    /// How far a revision has come on its way to zero; `None` if something wants it. Moves its status along.
    fn stage(&mut self, now: Moment, world: &World, up: ReplicaCount, want: u32, failed: bool) -> Option<Stage> {
        if failed {
            return (want == 0).then(|| stage::stage_of_failed(&self.policy, world));
        }
        if 0 < want {
            self.standing = self.standing.after(now, Some(ReplicaCount(want)), world.ready, up);
            return None;
        }
        // First how it stands by now: a second decision at the same instant comes out like this one.
        self.standing = self.standing.after(now, None, world.ready, up);
        let in_flight = self.in_flight();
        let stage = stage::stage(now, self.standing, in_flight, &self.policy, world);
        if stage == Stage::Deactivate {
            self.standing = self.standing.after(now, Some(ReplicaCount::ZERO), world.ready, up);
            return Some(stage::stage(now, self.standing, in_flight, &self.policy, world));
        }
        Some(stage)
    }

    /// What is held without a usable replica asks for its replicas at once, without waiting for a window to fill.
    fn wake(&self, held: u32, world: &World, running: &mut Running) {
        let rate_up = (self.policy.max_scale_up_rate * f64::from(world.ready.0.max(1))).ceil();
        let asked = (f64::from(held) / self.policy.target).ceil().min(rate_up);
        let activation = self.policy.activation.map_or(1, NonZeroU32::get);
        let woken = (asked as u32).max(activation).min(running.max);
        // `<=`, so that a wake keeps its name while the windows, which fill from the same requests, ask for as many.
        if running.want <= woken {
            *running = Running { want: woken, because: Because::Waking, ..*running };
        }
        running.at_least(world.scale.0, Because::HeldRequests);
    }

    /// Until it is adopted it is left as it was found, even where the maximum is lower or its start has failed.
    fn leave_as_found(&self, world: &World, running: &mut Running) {
        let found = self.found.map_or(0, |found| found.scale.0.min(world.scale.0));
        if !world.adopted && running.want < found {
            *running = Running { want: found, because: Because::NotAdopted, ..*running };
        }
    }

    /// The reasons not to lower that are not in the load.
    fn only_upwards(&self, now: Moment, world: &World, running: &mut Running) {
        let scale = world.scale.0;
        if world.bypassed {
            running.at_least(scale.min(1), Because::Bypassed);
        }
        if world.contested {
            running.at_least(scale, Because::ScaleConflict);
        }
        if self.activator_unheard(now) {
            running.at_least(scale, Because::ActivatorUnheard);
        }
        if self.sidecar_unheard(now) {
            running.at_least(scale, Because::NoData);
        }
        if self.rules.young_window_never_lowers && self.is_young(now) {
            running.at_least(scale, Because::IdleUntilWindowEnds);
        }
    }

    /// Is an activator silent that may have demand of this revision?
    fn activator_unheard(&self, now: Moment) -> bool {
        self.unheard(now).next().is_some()
    }

    /// The first second that an activator has not told of because it is silent; `None` if none is.
    fn untold_since(&self, now: Moment) -> Option<u64> {
        self.unheard(now).map(|(_, activator)| activator.reporter.first_uncovered()).min()
    }

    /// Those that are silent and may have demand. With sidecars only those count that had some within a stable window
    /// before they fell silent; without, nobody else could tell, so all of them do.
    fn unheard(&self, now: Moment) -> impl Iterator<Item = (&str, &Activator)> {
        let all = self.activators.iter().map(|(name, activator)| (&**name, activator));
        all.filter(move |(_, activator)| {
            let heard = activator.reporter.heard_at();
            let matters = self.replicas.is_empty()
                || activator.routed.is_some_and(|routed| heard.since(routed) <= self.policy.stable_window);
            matters && ACTIVATOR_SILENCE < now.since(heard)
        })
    }

    fn sidecar_unheard(&self, now: Moment) -> bool {
        self.silent_sidecars(now).next().is_some()
    }

    fn silent_sidecars(&self, now: Moment) -> impl Iterator<Item = (&str, &Reporter)> {
        let silent = move |reporter: &Reporter| SIDECAR_SILENCE < now.since(reporter.heard_at());
        let all = self.replicas.iter().map(|(name, reporter)| (&**name, reporter));
        all.filter(move |(_, reporter)| !reporter.leaves() && silent(reporter))
    }

    /// Has less than a stable window been observed?
    fn is_young(&self, now: Moment) -> bool {
        now.since(self.observing) < self.policy.stable_window
    }

    fn in_flight(&self) -> u32 {
        let activators = self.activators.values().map(|activator| activator.reporter.in_flight());
        let replicas = self.replicas.values().map(Reporter::in_flight);
        activators.chain(replicas).fold(0, u32::saturating_add)
    }

    fn series(&self, metric: Metric) -> &Series {
        match metric {
            Metric::Concurrency => &self.windows.concurrency,
            Metric::Rps => &self.windows.requests,
        }
    }
}

/// The part of a second that a metric counts: what came through an activator has been told by it.
fn value(each: Stat, metric: Metric) -> f64 {
    match metric {
        Metric::Concurrency => each.average_concurrency - each.average_proxied_concurrency,
        Metric::Rps => each.request_count - each.proxied_count,
    }
}

/// The path that fits: direct while the replicas have room for a burst, else through the activators.
fn path_step(world: &World, burst_room: BurstRoom, wish: PathWish) -> Step {
    let direct = world.direct_allowed
        && wish == PathWish::ByRoom
        && 0 <= burst_room.0
        && !world.ready.is_zero()
        && world.held == 0;
    match (world.path, direct) {
        (PathState::Direct, false) => Step::GoProxied,
        (PathState::Proxied { .. }, true) => Step::GoDirect,
        (PathState::Direct, true) | (PathState::Proxied { .. }, false) => Step::Rest,
    }
}

/// The one of this name, made if it is new. Looked up by reference, so that one that is known costs no allocation.
fn reporter<'a, T>(all: &'a mut BTreeMap<Box<str>, T>, name: &str, new: impl FnOnce() -> T) -> &'a mut T {
    if !all.contains_key(name) {
        all.insert(name.into(), new());
    }
    all.get_mut(name).expect("inserted above")
}

#[cfg(test)]
mod tests;
