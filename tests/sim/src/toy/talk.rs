//! What is said between the programs: frames, wakes, seals, stats; over streams that are slow, break, and open anew.

use std::sync::Arc;
use std::time::Duration;

use breaker::seal::{self as promise, LONGEST_TTL, Verdict};
use kpa::seal::{Answer, Ending, Event as SealEvent, Member, SealId};
use kpa::{ActivatorReading, SidecarReading};
use units::Incarnation;

use super::hold::Hold;
use super::replica::State;
use super::{Activator, Cluster, Event, Life, ending, moment, tell};
use crate::plan::Broken;
use crate::queue::Millis;

/// A frame each second.
const FRAME_EVERY: Millis = 1_000;
const WAKE_EVERY: Millis = 250;
const SIDECAR_IDLE: Millis = 5_000;

#[derive(Debug)]
pub(super) enum Up {
    Hello {
        uid: Arc<str>,
        incarnation: Incarnation,
        highest_epoch: u64,
        route: u64,
    },
    /// The counters of each revision that changed.
    Frame {
        uid: Arc<str>,
        demands: Vec<(usize, ActivatorReading, u32)>,
    },
    Wake {
        uid: Arc<str>,
        revision: usize,
        held: u32,
    },
    Route {
        uid: Arc<str>,
        generation: u64,
    },
    Answer {
        uid: Arc<str>,
        incarnation: Incarnation,
        revision: usize,
        id: SealId,
        answer: Answer,
    },
}

#[derive(Debug)]
pub(super) enum Down {
    Seal { revision: usize, id: SealId, ttl: Duration },
    Outcome { revision: usize, id: SealId, ending: Ending },
    Refusal { revision: usize, retry_after: Option<Duration> },
    Lead { epoch: u64 },
}

/// A stream between an activator and an autoscaler.
#[derive(Debug)]
pub(super) struct Link {
    stream: u32,
    pub(super) up: bool,
    pub(super) slow_until: Millis,
    pub(super) slow_by: Millis,
    last_up: Millis,
    last_down: Millis,
    /// What was last said of each revision on this stream.
    said: Vec<Option<(u64, u64, u32, u32)>>,
}

impl Link {
    fn new() -> Self {
        Self { stream: 0, up: false, slow_until: 0, slow_by: 0, last_up: 0, last_down: 0, said: Vec::new() }
    }
}

impl Activator {
    pub(super) fn absent(number: usize) -> Self {
        Self {
            up: false,
            life: 0,
            pods: 0,
            uid: format!("a{number}-0").into(),
            skew: 0,
            born: 0,
            holds: Vec::new(),
            picked: 0,
            highest_epoch: 0,
            route_known: 0,
            links: [Link::new(), Link::new()],
        }
    }

    fn incarnation(&self) -> Incarnation {
        Incarnation(u64::from(self.life))
    }
}

impl Cluster {
    pub(super) fn is_alive(&self, activator: usize, life: Life) -> bool {
        self.activators[activator].up && self.activators[activator].life == life
    }

    pub(super) fn activator_starts(&mut self, activator: usize) {
        let revisions = self.workloads.len();
        let skew = self.wall_skew;
        let first = self.activators[activator].life == 0;
        let now = moment(self.now, skew);
        let hold_until = (!first).then(|| now.plus(LONGEST_TTL));
        let (limit, waiting) = (self.plan.limit, 1_000);
        let route = self.route.generation;
        let (phase, born) = (self.draw.u64(..FRAME_EVERY), self.now);
        let starting = &mut self.activators[activator];
        starting.up = true;
        starting.life += 1;
        starting.skew = skew;
        starting.born = born;
        starting.holds = (0..revisions).map(|_| Hold::new(now, limit, waiting, hold_until)).collect();
        starting.picked = 0;
        starting.highest_epoch = 0;
        starting.route_known = route;
        let life = starting.life;
        tell!(self, "a{activator} starts, its {life}th life");
        for revision in 0..revisions {
            let lag = self.draw.u64(5..200);
            self.queue.plan(self.now + lag, Event::Look { activator, life, revision });
        }
        self.queue.plan(self.now + phase, Event::Frame { activator, life });
        for autoscaler in 0..self.autoscalers.len() {
            let stream = self.break_stream(activator, autoscaler, true);
            self.queue.plan(self.now + 10, Event::StreamOpens { activator, autoscaler, stream });
        }
    }

    /// The stream is cut. An autoscaler that notices knows at once. Answers with the number of the next.
    pub(super) fn break_stream(&mut self, activator: usize, autoscaler: usize, notices: bool) -> u32 {
        let link = &mut self.activators[activator].links[autoscaler];
        link.up = false;
        link.stream += 1;
        let stream = link.stream;
        for hold in &mut self.activators[activator].holds {
            hold.clear_refusal(autoscaler);
        }
        if notices {
            let uid = Arc::clone(&self.activators[activator].uid);
            self.autoscalers[autoscaler].streams.remove(&uid);
            self.roster_changed(autoscaler);
        }
        stream
    }

    pub(super) fn stream_opens(&mut self, activator: usize, autoscaler: usize, stream: u32) {
        let link = &self.activators[activator].links[autoscaler];
        if link.up || link.stream != stream || !self.activators[activator].up {
            return;
        }
        if !self.autoscalers[autoscaler].up {
            self.queue.plan(self.now + 500, Event::StreamOpens { activator, autoscaler, stream });
            return;
        }
        let revisions = self.workloads.len();
        let now = self.now;
        let opening = &mut self.activators[activator];
        let (uid, incarnation) = (Arc::clone(&opening.uid), opening.incarnation());
        let (highest_epoch, route) = (opening.highest_epoch, opening.route_known);
        let link = &mut opening.links[autoscaler];
        *link = Link { up: true, stream, last_up: now, last_down: now, said: vec![None; revisions], ..Link::new() };
        self.say_up(activator, autoscaler, Up::Hello { uid, incarnation, highest_epoch, route });
        self.say_frame(activator, autoscaler);
        for revision in 0..revisions {
            self.say_wake(activator, autoscaler, revision);
        }
    }

    fn say_up(&mut self, activator: usize, autoscaler: usize, said: Up) {
        let lag = self.lag(activator, autoscaler);
        let link = &mut self.activators[activator].links[autoscaler];
        if !link.up {
            return;
        }
        link.last_up = link.last_up.max(self.now + lag);
        let (at, stream) = (link.last_up, link.stream);
        self.queue.plan(at, Event::Up { activator, autoscaler, stream, said });
    }

    pub(super) fn say_down(&mut self, activator: usize, autoscaler: usize, said: Down) {
        let lag = self.lag(activator, autoscaler);
        let link = &mut self.activators[activator].links[autoscaler];
        if !link.up {
            return;
        }
        link.last_down = link.last_down.max(self.now + lag);
        let (at, stream) = (link.last_down, link.stream);
        self.queue.plan(at, Event::Down { activator, autoscaler, stream, said });
    }

    fn lag(&mut self, activator: usize, autoscaler: usize) -> Millis {
        let link = &self.activators[activator].links[autoscaler];
        if self.now < link.slow_until { 1 + self.draw.u64(..=link.slow_by) } else { 1 }
    }

    pub(super) fn frame(&mut self, activator: usize, life: Life) {
        if !self.is_alive(activator, life) {
            return;
        }
        self.queue.plan(self.now + FRAME_EVERY, Event::Frame { activator, life });
        for autoscaler in 0..self.autoscalers.len() {
            self.say_frame(activator, autoscaler);
        }
    }

    fn say_frame(&mut self, activator: usize, autoscaler: usize) {
        let now = self.now_at(activator);
        let saying = &mut self.activators[activator];
        if !saying.links[autoscaler].up {
            return;
        }
        let incarnation = saying.incarnation();
        let elapsed_us = (self.now - saying.born) * 1_000;
        let mut demands = Vec::new();
        for (revision, hold) in saying.holds.iter_mut().enumerate() {
            let reading = hold.reading(now);
            let held = hold.held().min(reading.in_flight);
            let (requests, concurrency_us, in_flight) = (reading.requests, reading.concurrency_us(), reading.in_flight);
            let said = Some((requests, concurrency_us, in_flight, held));
            if saying.links[autoscaler].said[revision] != said {
                saying.links[autoscaler].said[revision] = said;
                let reading = ActivatorReading { incarnation, elapsed_us, requests, concurrency_us, in_flight };
                demands.push((revision, reading, held));
            }
        }
        let uid = Arc::clone(&saying.uid);
        self.say_up(activator, autoscaler, Up::Frame { uid, demands });
    }

    pub(super) fn wake(&mut self, activator: usize, life: Life, revision: usize) {
        if !self.is_alive(activator, life) || !self.activators[activator].holds[revision].wants() {
            return;
        }
        for autoscaler in 0..self.autoscalers.len() {
            self.say_wake(activator, autoscaler, revision);
        }
        self.queue.plan(self.now + WAKE_EVERY, Event::Wake { activator, life, revision });
    }

    fn say_wake(&mut self, activator: usize, autoscaler: usize, revision: usize) {
        let hold = &self.activators[activator].holds[revision];
        if hold.wants() && self.plan.broken != Some(Broken::NoWakes) {
            let (uid, held) = (Arc::clone(&self.activators[activator].uid), hold.held());
            self.say_up(activator, autoscaler, Up::Wake { uid, revision, held });
        }
    }

    pub(super) fn route_known(&mut self, activator: usize, life: Life, generation: u64) {
        if !self.is_alive(activator, life) || generation <= self.activators[activator].route_known {
            return;
        }
        self.activators[activator].route_known = generation;
        for autoscaler in 0..self.autoscalers.len() {
            let uid = Arc::clone(&self.activators[activator].uid);
            self.say_up(activator, autoscaler, Up::Route { uid, generation });
        }
    }

    pub(super) fn heard_up(&mut self, activator: usize, autoscaler: usize, stream: u32, said: Up) {
        if self.activators[activator].links[autoscaler].stream != stream || !self.autoscalers[autoscaler].up {
            return;
        }
        let at = self.now;
        let now = self.now_of(autoscaler);
        if let Up::Frame { uid, .. } | Up::Wake { uid, .. } | Up::Hello { uid, .. } = &said
            && let Some((_, heard)) = self.autoscalers[autoscaler].streams.get_mut(uid)
        {
            *heard = at;
        }
        match said {
            Up::Hello { uid, incarnation, highest_epoch, route } => {
                let hearing = &mut self.autoscalers[autoscaler];
                hearing.streams.insert(Arc::clone(&uid), (incarnation, at));
                hearing.acknowledged.insert(uid, route);
                if hearing.lead.is_some_and(|(epoch, _)| epoch < highest_epoch) {
                    self.step_down(autoscaler);
                }
                self.greet(activator, autoscaler);
                self.roster_changed(autoscaler);
            }
            Up::Route { uid, generation } => {
                let known = self.autoscalers[autoscaler].acknowledged.entry(uid).or_default();
                *known = generation.max(*known);
            }
            Up::Frame { uid, demands } => {
                for revision in 0..self.workloads.len() {
                    let keeper = &mut self.autoscalers[autoscaler].keepers[revision];
                    if !keeper.told_of.contains(&uid) {
                        keeper.told_of.insert(Arc::clone(&uid));
                    }
                    let heard = keeper.heard.entry(Arc::clone(&uid)).or_insert((at, None));
                    heard.0 = at;
                    match demands.iter().find(|(demanded, ..)| *demanded == revision) {
                        Some((_, reading, held)) => {
                            heard.1 = Some(at);
                            if *held == 0 {
                                keeper.held.remove(&uid);
                            }
                            keeper.scaler.activator(now, &uid, *reading);
                        }
                        None => keeper.scaler.activator_heard(now, &uid),
                    }
                }
            }
            Up::Wake { uid, revision, held } => self.hear_wake(autoscaler, revision, activator, uid, held),
            Up::Answer { uid, incarnation, revision, id, answer } => {
                let from = Member::Activator(uid);
                self.seal(autoscaler, revision, SealEvent::Answered { from, incarnation, id, answer });
            }
        }
    }

    pub(super) fn heard_down(&mut self, activator: usize, autoscaler: usize, stream: u32, said: Down) {
        if self.activators[activator].links[autoscaler].stream != stream || !self.activators[activator].up {
            return;
        }
        let now = self.now_at(activator);
        let random = self.draw.u64(..);
        let (at, life) = (self.now, self.activators[activator].life);
        let hearing = &mut self.activators[activator];
        match said {
            Down::Lead { epoch } => hearing.highest_epoch = epoch.max(hearing.highest_epoch),
            Down::Seal { revision, id, ttl } => {
                hearing.highest_epoch = id.epoch.max(hearing.highest_epoch);
                let asked = promise::SealId { epoch: id.epoch, seq: id.seq };
                let verdict = hearing.holds[revision].seal_asked(now, asked, ttl, hearing.highest_epoch);
                let answer = match verdict {
                    Verdict::Sealed => Answer::Yes,
                    Verdict::Veto => Answer::No,
                    Verdict::Outdated => Answer::Outdated,
                };
                let (uid, incarnation) = (Arc::clone(&hearing.uid), hearing.incarnation());
                self.say_up(activator, autoscaler, Up::Answer { uid, incarnation, revision, id, answer });
                self.queue.plan(at, Event::Look { activator, life, revision });
                self.hold_changed(activator, revision);
            }
            Down::Outcome { revision, id, ending: how } => {
                let id = promise::SealId { epoch: id.epoch, seq: id.seq };
                let grants = hearing.holds[revision].seal_ended(now, id, ending(how), random);
                self.go(grants);
                self.queue.plan(at, Event::Look { activator, life, revision });
                self.hold_changed(activator, revision);
            }
            Down::Refusal { revision, retry_after: None } => hearing.holds[revision].clear_refusal(autoscaler),
            Down::Refusal { revision, retry_after: Some(retry_after) } => {
                let refused = hearing.holds[revision].refuse(now, now.plus(retry_after), autoscaler);
                for request in refused {
                    self.requests.remove(&request);
                    self.tally.end("start-failed");
                }
                self.hold_changed(activator, revision);
            }
        }
    }

    /// The timer of a sidecar: counters each second while there is traffic, else every five.
    pub(super) fn sidecar(&mut self, revision: usize, id: u64) {
        let at = self.now;
        let sidecars = self.plan.sidecars;
        let Some(replica) = self.replica(revision, id) else { return };
        let counted = replica.meter.read(moment(at, replica.skew));
        let said = (counted.requests, 0 < counted.in_flight);
        let busy = said.1 || replica.said.is_none_or(|(requests, _)| requests != said.0);
        replica.said = Some(said);
        let reading = SidecarReading {
            incarnation: Incarnation(id),
            elapsed_us: counted.elapsed_us,
            requests: counted.requests,
            proxied_requests: counted.proxied_requests,
            concurrency_us: counted.concurrency_us(),
            proxied_concurrency_us: counted.proxied_concurrency_us(),
            in_flight: counted.in_flight,
        };
        let cut_until = replica.cut_until;
        if !sidecars {
            return;
        }
        for (autoscaler, cut_until) in cut_until.into_iter().enumerate() {
            if cut_until <= at && self.autoscalers[autoscaler].up {
                let life = self.autoscalers[autoscaler].life;
                self.queue.plan(at + 1, Event::Stats { autoscaler, life, revision, replica: id, reading });
            }
        }
        self.queue.plan(at + if busy { 1_000 } else { SIDECAR_IDLE }, Event::Sidecar { revision, replica: id });
    }

    pub(super) fn stats(&mut self, autoscaler: usize, life: Life, revision: usize, id: u64, reading: SidecarReading) {
        let now = self.now_of(autoscaler);
        let Some(name) = self.replica(revision, id).map(|replica| Arc::clone(&replica.name)) else { return };
        let hearing = &mut self.autoscalers[autoscaler];
        if !hearing.up || hearing.life != life {
            return;
        }
        let new = hearing.sidecars.insert((revision, id));
        let keeper = &mut hearing.keepers[revision];
        keeper.scaler.sidecar(now, &name, reading);
        keeper.replicas_told_of.insert(id, name);
        if new {
            self.seal_time(autoscaler, life, revision);
        }
    }

    pub(super) fn idle_question(&mut self, autoscaler: usize, life: Life, revision: usize, id: u64, round: SealId) {
        let at = self.now;
        let Some(replica) = self.replica(revision, id) else { return };
        if at < replica.cut_until[autoscaler] {
            return;
        }
        let idle = replica.inside.is_empty() || replica.state == State::Leaving;
        let event = Event::IdleAnswer { autoscaler, life, revision, replica: id, id: round, idle };
        self.queue.plan(at + 1, event);
    }

    pub(super) fn idle_answer(
        &mut self,
        autoscaler: usize,
        life: Life,
        revision: usize,
        id: u64,
        round: SealId,
        idle: bool,
    ) {
        if !self.autoscalers[autoscaler].up || self.autoscalers[autoscaler].life != life {
            return;
        }
        let Some(name) = self.replica(revision, id).map(|replica| Arc::clone(&replica.name)) else { return };
        let answer = if idle { Answer::Yes } else { Answer::No };
        let event =
            SealEvent::Answered { from: Member::Sidecar(name), incarnation: Incarnation(id), id: round, answer };
        self.seal(autoscaler, revision, event);
    }
}
