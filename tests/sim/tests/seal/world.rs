//! A revision with one replica, two activators and up to two leaders, small enough that everything that can happen to it
//! can be tried.
//!
//! The two sides of the seal are the real ones. Around them stands what they run in, at its worst: messages arrive in any
//! order, late or never; a patch takes effect at any instant of its 1.5 s; a leader that was replaced goes on as if it had
//! not been. Time moves in steps of 750 ms, of which everything in [`Limits::ROUSE`] is a multiple.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use breaker::seal::{Forward, Here, LONGEST_TTL, Seal, Verdict};
use kpa::seal::{Answer, Deed, Ending, Event, Leader, Limits, Member, PatchEnd, Roster, ScaleSeen, SealId, View};
use units::{Incarnation, Moment, ReplicaCount};

use crate::happening::{Action, Broken, Message, Party, Rules};

pub(crate) const TICK: Duration = Duration::from_millis(750);
/// How long after it was sent a patch can still take effect: the time-out of 1 s, and some way to go.
const PATCH_TAKES: Duration = Duration::from_millis(1_500);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub now: u8,
    pub scale: u8,
    version: u8,
    /// The newest replica; it is there while `scale` is 1.
    generation: u8,
    pub activators: [Activator; 2],
    /// Requests in the replica that did not come through an activator.
    pub direct: u8,
    pub leaders: Vec<Autoscaler>,
    pub messages: BTreeSet<Message>,
    patches: Vec<Patch>,
    arrivals: u8,
    crashes: u8,
    losses: u8,
    rounds: [u8; 2],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Activator {
    pub up: bool,
    incarnation: u8,
    seal: Seal,
    epoch: u64,
    pub held: u8,
    pub forwarded: u8,
    /// The replica whose probe succeeded last, and when that was begun.
    probed: Option<(u8, u8)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Autoscaler {
    pub machine: Leader,
    pub leads: bool,
    /// The newest round.
    round: Option<SealId>,
    /// As which incarnation each activator said hello last; `None` when its stream is seen to be broken.
    heard: [Option<u8>; 2],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Patch {
    leader: u8,
    id: SealId,
    expect: u8,
    sent: u8,
    /// Has its sender been told that the connection broke?
    broken: bool,
}

pub(crate) type Violation = String;

impl World {
    pub(crate) fn new(rules: &Rules) -> Self {
        let activator = Activator {
            up: true,
            incarnation: 1,
            seal: Seal::new(None),
            epoch: 0,
            held: 0,
            forwarded: 0,
            probed: Some((1, 0)),
        };
        Self {
            now: 0,
            scale: 1,
            version: 1,
            generation: 1,
            activators: [activator.clone(), activator],
            direct: u8::from(rules.sidecar),
            leaders: vec![Autoscaler::new(1, rules.limits, [Some(1); 2])],
            messages: BTreeSet::new(),
            patches: Vec::new(),
            arrivals: rules.arrivals,
            crashes: rules.crashes,
            losses: rules.losses,
            rounds: [rules.rounds; 2],
        }
    }

    /// Everything that may happen next.
    pub(crate) fn possible(&self, rules: &Rules) -> Vec<Action> {
        let mut actions = self.fair(rules);
        actions.retain(|action| match action {
            // A leader does not know that it was replaced; so what it begins later it might have begun before.
            Action::Begin(leader) => {
                0 < self.rounds[usize::from(*leader)] && usize::from(*leader) + 1 == self.leaders.len()
            }
            // Before anything began, later is the same.
            Action::Tick => {
                self.now < rules.ticks && (self.rounds != [rules.rounds; 2] || self.crashes < rules.crashes)
            }
            _ => true,
        });
        for (index, activator) in each(&self.activators).filter(|(_, activator)| activator.up) {
            if self.can_arrive(rules, index) {
                actions.push(Action::Arrive(index));
            }
            // The two are alike, so let it be the first that crashes.
            if 0 < self.crashes && index == 0 {
                actions.push(Action::Crash(index));
            }
            // A replica that is gone may still be believed in.
            let gone = (1..=self.generation).filter(|generation| !self.there(*generation));
            if 0 < activator.held && rules.gone_matters {
                actions.extend(
                    gone.filter(|gone| self.may_forward(rules, index, *gone)).map(|gone| Action::Forward(index, gone)),
                );
            }
        }
        if 0 < self.losses {
            actions.extend(self.messages.iter().cloned().map(Action::Lose));
        }
        if self.leaders.len() == 1 && 0 < rules.leader_changes {
            actions.push(Action::ChangeLeader);
        }
        if self.leaders.len() == 2 && self.leaders[0].leads {
            actions.push(Action::LoseLead(0));
        }
        actions.extend(
            each(&self.patches)
                .filter(|(_, patch)| !patch.broken)
                .map(|(index, _)| Action::PatchConnectionBreaks(index)),
        );
        actions
    }

    /// What happens next if nothing goes wrong any more and nothing new arrives, the most urgent first.
    pub(crate) fn fair(&self, rules: &Rules) -> Vec<Action> {
        let mut actions = Vec::new();
        for (activator, state) in each(&self.activators) {
            if !state.up {
                actions.push(Action::Restart(activator));
            }
            for (leader, autoscaler) in each(&self.leaders) {
                if autoscaler.leads && autoscaler.heard[usize::from(activator)] != state.up.then_some(state.incarnation)
                {
                    actions.push(Action::Hello { leader, activator });
                }
            }
        }
        actions.extend(self.messages.iter().cloned().map(Action::Deliver));
        actions.extend(each(&self.patches).map(|(index, _)| Action::PatchTakesEffect(index)));
        let now = self.moment();
        for (index, leader) in each(&self.leaders).filter(|(_, leader)| leader.leads) {
            let due = leader.machine.look_again_at().is_some_and(|due| due <= now);
            if due && leader.machine.in_round() {
                actions.push(Action::Look(index));
            }
        }
        for (from, _) in each(&self.activators).filter(|(from, _)| self.wakes(rules, *from)) {
            for (leader, state) in each(&self.leaders).filter(|(_, leader)| leader.leads) {
                // Otherwise it changes nothing.
                if state.is_asking() || self.scale == 0 && !state.machine.patch_is_open() {
                    actions.push(Action::Wake { leader, from });
                }
            }
        }
        if 0 < self.direct {
            actions.push(Action::DirectEnds);
        }
        for (index, activator) in each(&self.activators).filter(|(_, activator)| activator.up) {
            let usable = self.may_forward(rules, index, self.generation);
            // A probe that would not be believed changes nothing.
            let hopeful = !usable && activator.seal.may_forward(now).allows(now, Some(now));
            if self.scale == 1 && 0 < activator.held && hopeful {
                actions.push(Action::Probe(index));
            }
            if self.scale == 1 && 0 < activator.held && usable {
                actions.push(Action::Forward(index, self.generation));
            }
            if 0 < activator.forwarded {
                actions.push(Action::Finish(index));
            }
        }
        let may_begin = |leader: &Autoscaler| leader.leads && self.scale == 1 && !leader.machine.in_round();
        for (index, leader) in each(&self.leaders).filter(|(_, leader)| may_begin(leader)) {
            let roster = self.roster(rules, leader);
            let view = View { roster: &roster, lead_until: NEVER };
            let wanted = Event::Wanted { expect: version(self.version) };
            if !leader.machine.clone().handle(now, view, wanted).is_empty() {
                actions.push(Action::Begin(index));
            }
        }
        actions.push(Action::Tick);
        actions
    }

    /// What follows from an action; or the promise that it breaks.
    pub(crate) fn after(&self, rules: &Rules, action: &Action) -> Result<Self, Violation> {
        let mut next = self.clone();
        let now = self.moment();
        match *action {
            Action::Arrive(index) => {
                next.arrivals -= 1;
                next.activator(index).held += 1;
            }
            Action::Forward(index, generation) => {
                if !self.there(generation) {
                    return Err(format!("a request was forwarded to replica {generation}, which had been taken away"));
                }
                let activator = next.activator(index);
                activator.held -= 1;
                activator.forwarded += 1;
            }
            Action::Finish(index) => next.activator(index).forwarded -= 1,
            Action::Probe(index) => next.activator(index).probed = Some((self.generation, self.now)),
            Action::Crash(index) => {
                next.crashes = self.crashes.saturating_sub(1);
                let activator = next.activator(index);
                (activator.up, activator.held, activator.forwarded, activator.probed) = (false, 0, 0, None);
                next.messages.retain(|message| !message.is_to(index));
            }
            Action::Restart(index) => {
                let hold_until = (rules.broken != Some(Broken::NoHoldAfterStart)).then(|| now.plus(LONGEST_TTL));
                let activator = next.activator(index);
                (activator.up, activator.incarnation, activator.epoch) = (true, activator.incarnation + 1, 0);
                activator.seal = Seal::new(hold_until);
            }
            Action::Hello { leader, activator } => {
                let state = &self.activators[usize::from(activator)];
                next.leaders[usize::from(leader)].heard[usize::from(activator)] = state.up.then_some(state.incarnation);
                next.tell(rules, leader, Event::Time);
            }
            Action::Begin(leader) => {
                let left = &mut next.rounds[usize::from(leader)];
                *left = left.saturating_sub(1);
                if rules.broken == Some(Broken::NoRound) {
                    let id = SealId { epoch: 9, seq: 0 };
                    next.patches.push(Patch { leader, id, expect: self.version, sent: self.now, broken: false });
                } else {
                    next.tell(rules, leader, Event::Wanted { expect: version(self.version) });
                }
            }
            Action::Look(leader) => next.tell(rules, leader, Event::Time),
            Action::ChangeLeader => {
                let heard = self.leaders[0].heard;
                next.leaders.push(Autoscaler::new(2, rules.limits, heard));
            }
            Action::LoseLead(leader) => {
                next.tell(rules, leader, Event::LeadershipLost);
                next.leaders[usize::from(leader)].leads = false;
            }
            Action::PatchTakesEffect(index) => next.patch_takes_effect(index)?,
            Action::PatchConnectionBreaks(index) => {
                let patch = &mut next.patches[usize::from(index)];
                patch.broken = true;
                let (leader, id) = (patch.leader, patch.id);
                next.tell(rules, leader, Event::Patched { id, end: PatchEnd::Unknown });
            }
            Action::Deliver(ref message) => {
                next.messages.remove(message);
                next.deliver(rules, message);
            }
            Action::Wake { leader, .. } => {
                next.tell(rules, leader, Event::Woken);
                let leader = &next.leaders[usize::from(leader)];
                if leader.leads && next.scale == 0 && !leader.machine.patch_is_open() {
                    (next.scale, next.version, next.generation) = (1, next.version + 1, next.generation + 1);
                }
            }
            Action::Lose(ref message) => {
                next.losses -= 1;
                next.messages.remove(message);
            }
            Action::DirectEnds => next.direct -= 1,
            Action::Tick => {
                next.now += 1;
                let now = next.moment();
                next.patches.retain(|patch| now.since(moment(patch.sent)) < PATCH_TAKES);
            }
        }
        next.forget_what_cannot_matter(rules);
        Ok(next)
    }

    /// Makes alike what differs in nothing that can matter, so that there are fewer states.
    fn forget_what_cannot_matter(&mut self, rules: &Rules) {
        for leader in self.leaders.iter_mut().filter(|leader| !leader.leads) {
            *leader = Autoscaler { leads: false, ..Autoscaler::new(0, rules.limits, [None; 2]) };
        }
        let now = self.moment();
        for index in 0..self.leaders.len() {
            let leader = &self.leaders[index];
            if !rules.pauses && leader.leads && !leader.machine.in_round() && leader.machine.look_again_at().is_some() {
                // The scaler may have changed its mind twice meanwhile, which ends a pause.
                let roster = self.roster(rules, leader);
                let view = View { roster: &roster, lead_until: NEVER };
                let deeds = self.leaders[index].machine.handle(now, view, Event::Unwanted);
                assert_eq!(deeds, []);
            }
        }
        for activator in &mut self.activators {
            // All that matters about a probe is whether it is believed: later promises are always younger than it.
            activator.probed = match (activator.probed, activator.seal.may_forward(now)) {
                (Some((_, begun)), Forward::OnlyAfterProbe { begun_after, .. }) if moment(begun) <= begun_after => None,
                (Some((whose, _)), Forward::OnlyAfterProbe { begun_after, .. }) => {
                    Some((whose, first_after(begun_after)))
                }
                (None, _) | (_, Forward::Freely) => None,
                (probed, Forward::Hold) => probed,
            };
        }
        let messages = std::mem::take(&mut self.messages);
        self.messages = messages.iter().filter(|message| self.matters(rules, message, &messages)).cloned().collect();
    }

    fn matters(&self, rules: &Rules, message: &Message, messages: &BTreeSet<Message>) -> bool {
        match *message {
            Message::Ask { .. } => true,
            Message::Tell { to, id, .. } => {
                let Activator { seal, held, forwarded, .. } = &self.activators[usize::from(to)];
                if *held == 0 && *forwarded == 0 && !self.can_arrive(rules, to) {
                    return false;
                }
                let mut after = seal.clone();
                after.ended(self.moment(), theirs(id), breaker::seal::Ending::Released);
                let asked_before = |other: &Message| match *other {
                    Message::Ask { to: whom, id: which, .. } => whom == Party::Activator(to) && which == id,
                    _ => false,
                };
                after != *seal || messages.iter().any(asked_before)
            }
            Message::Answered { leader, id, .. } => {
                let leader = &self.leaders[usize::from(leader)];
                leader.leads && leader.round == Some(id) && leader.is_asking()
            }
            Message::Patched { leader, .. } | Message::Read { leader, .. } => {
                let leader = &self.leaders[usize::from(leader)];
                leader.leads && leader.machine.patch_is_open()
            }
        }
    }

    fn patch_takes_effect(&mut self, index: u8) -> Result<(), Violation> {
        let patch = self.patches.remove(usize::from(index));
        let end = if patch.expect == self.version && self.scale == 1 {
            let in_replica = self.direct + self.activators.iter().map(|activator| activator.forwarded).sum::<u8>();
            if in_replica != 0 {
                return Err(format!("the replica was taken away with {in_replica} requests forwarded to it or in it"));
            }
            (self.scale, self.version) = (0, self.version + 1);
            PatchEnd::Done
        } else {
            PatchEnd::NotDone
        };
        if !patch.broken {
            self.messages.insert(Message::Patched { leader: patch.leader, id: patch.id, end });
        }
        Ok(())
    }

    fn deliver(&mut self, rules: &Rules, message: &Message) {
        let now = self.moment();
        match *message {
            Message::Ask { leader, to: to @ Party::Activator(index), id } => {
                let ttl = rules.limits.ttl;
                let activator = self.activator(index);
                if !activator.up {
                    return;
                }
                activator.epoch = activator.epoch.max(id.epoch);
                let here = Here { held: activator.held.into(), forwarded: activator.forwarded.into() };
                let answer = match activator.seal.asked(now, theirs(id), ttl, activator.epoch, here) {
                    Verdict::Sealed => Answer::Yes,
                    Verdict::Veto => Answer::No,
                    Verdict::Outdated => Answer::Outdated,
                };
                let incarnation = activator.incarnation;
                self.answer(rules, Message::Answered { leader, from: to, incarnation, id, answer });
            }
            Message::Ask { leader, to: to @ Party::Sidecar(generation), id } => {
                if !self.there(generation) {
                    return;
                }
                let in_flight = self.direct + self.activators.iter().map(|activator| activator.forwarded).sum::<u8>();
                let idle = in_flight == 0 || rules.broken == Some(Broken::SidecarAlwaysIdle);
                let answer = if idle { Answer::Yes } else { Answer::No };
                self.answer(rules, Message::Answered { leader, from: to, incarnation: 1, id, answer });
            }
            Message::Answered { leader, from, incarnation, id, answer } => {
                let incarnation = incarnation_of(rules, incarnation);
                self.tell(rules, leader, Event::Answered { from: member(from), incarnation, id, answer });
            }
            Message::Tell { to, id, ending } => {
                let ending = match ending {
                    Ending::Committed => breaker::seal::Ending::Committed,
                    Ending::Released => breaker::seal::Ending::Released,
                };
                self.activator(to).seal.ended(now, theirs(id), ending);
            }
            Message::Patched { leader, id, end } => self.tell(rules, leader, Event::Patched { id, end }),
            Message::Read { leader, begun, replicas, version: read } => {
                let seen = ScaleSeen::At { replicas: ReplicaCount(replicas.into()), version: version(read) };
                self.tell(rules, leader, Event::ScaleRead { begun, seen });
            }
        }
    }

    /// Sends an answer. One to which the leader does nothing but wait for the others arrives at once: it comes to the same
    /// as if it took its time, and there are fewer orders.
    fn answer(&mut self, rules: &Rules, message: Message) {
        let mut arrived = self.clone();
        arrived.deliver(rules, &message);
        if arrived.messages == self.messages && arrived.patches == self.patches {
            *self = arrived;
        } else {
            self.messages.insert(message);
        }
    }

    /// Tells a leader, and does what it wants done.
    fn tell(&mut self, rules: &Rules, leader: u8, event: Event) {
        let now = self.moment();
        let (scale, version_now) = (self.scale, self.version);
        let autoscaler = &self.leaders[usize::from(leader)];
        if !autoscaler.leads {
            return;
        }
        let roster = self.roster(rules, autoscaler);
        let autoscaler = &mut self.leaders[usize::from(leader)];
        let view = View { roster: &roster, lead_until: NEVER };
        for deed in autoscaler.machine.handle(now, view, event) {
            match deed {
                Deed::Ask { to, id, .. } => {
                    autoscaler.round = Some(id);
                    self.messages.insert(Message::Ask { leader, to: party(&to), id });
                }
                Deed::Patch { id, expect, not_after } => {
                    assert!(now <= not_after, "a patch that was late before it was sent");
                    let expect = number(&expect);
                    self.patches.push(Patch { leader, id, expect, sent: self.now, broken: false });
                }
                Deed::ReadScale { begun } => {
                    // What is read may have been overtaken when it arrives; it is never newer than that.
                    self.messages.insert(Message::Read { leader, begun, replicas: scale, version: version_now });
                }
                Deed::Tell { to, id, ending } => {
                    if let Party::Activator(to) = party(&to) {
                        self.messages.insert(Message::Tell { to, id, ending });
                    }
                }
                Deed::StepDown => autoscaler.leads = false,
            }
        }
    }

    /// Is something held without a replica that may be used? Then that is said to every autoscaler, again and again; so
    /// here a wake is heard at any time while it is true. One that is heard later breaks or wakes what it need not have.
    fn wakes(&self, rules: &Rules, index: u8) -> bool {
        let activator = &self.activators[usize::from(index)];
        let usable = self.scale == 1 && self.may_forward(rules, index, self.generation);
        activator.up && 0 < activator.held && !usable
    }

    fn may_forward(&self, rules: &Rules, index: u8, generation: u8) -> bool {
        let activator = &self.activators[usize::from(index)];
        let forward = match (activator.seal.may_forward(self.moment()), rules.broken) {
            (_, Some(Broken::PromiseNotKept)) => Forward::Freely,
            (Forward::OnlyAfterProbe { .. }, Some(Broken::StaleProbes)) => Forward::Freely,
            (forward, _) => forward,
        };
        let probe_begun = activator.probed.filter(|(whose, _)| *whose == generation).map(|(_, begun)| moment(begun));
        // Who was there before zero is gone at once here, and answers nothing.
        forward.allows(self.moment(), probe_begun)
    }

    fn roster(&self, rules: &Rules, autoscaler: &Autoscaler) -> Roster {
        let activators = each(&autoscaler.heard).map(|(index, heard)| {
            (member(Party::Activator(index)), heard.map(|incarnation| incarnation_of(rules, incarnation)))
        });
        let sidecar = (rules.sidecar && self.scale == 1)
            .then(|| (member(Party::Sidecar(self.generation)), Some(incarnation_of(rules, 1))));
        activators.chain(sidecar).collect()
    }

    fn activator(&mut self, index: u8) -> &mut Activator {
        &mut self.activators[usize::from(index)]
    }

    fn there(&self, generation: u8) -> bool {
        self.scale == 1 && self.generation == generation
    }

    /// Nothing to do, nothing under way, nothing there.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.scale == 0
            && self.messages.is_empty()
            && self.patches.is_empty()
            && self.held() == 0
            && self.activators.iter().all(|activator| activator.up && activator.forwarded == 0)
            && !self.leaders.iter().any(|leader| leader.leads && leader.machine.in_round())
    }

    /// Can no promise be broken any more, because no request is here and none will come?
    pub(crate) fn is_over(&self) -> bool {
        let empty = |activator: &Activator| activator.held == 0 && activator.forwarded == 0;
        self.arrivals == 0 && self.direct == 0 && self.activators.iter().all(empty)
    }

    /// Without crashes the two activators are alike, so let it be the first where requests arrive.
    fn can_arrive(&self, rules: &Rules, index: u8) -> bool {
        0 < self.arrivals && (index == 0 || 0 < rules.crashes)
    }

    pub(crate) fn held(&self) -> u8 {
        self.activators.iter().map(|activator| activator.held).sum()
    }

    fn moment(&self) -> Moment {
        moment(self.now)
    }
}

impl Autoscaler {
    fn new(epoch: u64, limits: Limits, heard: [Option<u8>; 2]) -> Self {
        Self { machine: Leader::new(epoch, limits), leads: true, round: None, heard }
    }

    fn is_asking(&self) -> bool {
        self.machine.in_round() && !self.machine.patch_is_open()
    }
}

const NEVER: Moment = Moment::from_unix_millis(u64::MAX);

fn moment(tick: u8) -> Moment {
    Moment::from_unix_millis(1_000_000).plus(TICK * tick.into())
}

fn first_after(bar: Moment) -> u8 {
    (0..).find(|tick| bar < moment(*tick)).unwrap_or(u8::MAX)
}

/// Numbers as text, made once.
static NAMES: LazyLock<Vec<Arc<str>>> =
    LazyLock::new(|| (0..=u8::MAX).map(|number| number.to_string().into()).collect());

fn version(number: u8) -> Arc<str> {
    NAMES[usize::from(number)].clone()
}

fn number(version: &str) -> u8 {
    version.parse().expect("made from a number, in NAMES")
}

fn each<T>(things: &[T]) -> impl Iterator<Item = (u8, &T)> {
    (0_u8..).zip(things)
}

fn theirs(id: SealId) -> breaker::seal::SealId {
    breaker::seal::SealId { epoch: id.epoch, seq: id.seq }
}

fn incarnation_of(rules: &Rules, incarnation: u8) -> Incarnation {
    let one = rules.broken == Some(Broken::IncarnationsNotCompared);
    Incarnation(if one { 1 } else { incarnation.into() })
}

fn member(party: Party) -> Member {
    match party {
        Party::Activator(index) => Member::Activator(version(index)),
        Party::Sidecar(generation) => Member::Sidecar(version(generation)),
    }
}

fn party(member: &Member) -> Party {
    match member {
        Member::Activator(index) => Party::Activator(number(index)),
        Member::Sidecar(generation) => Party::Sidecar(number(generation)),
    }
}
