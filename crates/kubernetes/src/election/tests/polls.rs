//! Several that take part, over an API server, on one time: with calls that are late, lost, or served long after they were
//! given up, answers that are lost, watches that lag, processes that stand still, die and leave. Never do two lead.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;
use proptest::prelude::*;

use super::*;

/// Milliseconds on the time that nobody in there knows.
type Time = u64;

/// From then on nothing fails.
const CALM: Time = 240_000;
const END: Time = CALM + 60_000;
const PATIENCE: Time = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// It looks what there is to do.
    Looks {
        node: usize,
        life: u64,
    },
    /// A call reaches the API server.
    Arrives {
        node: usize,
        call: u64,
        is_write: bool,
    },
    /// Its answer comes back; nothing if it was given up.
    Ends {
        node: usize,
        call: u64,
        answered: bool,
    },
    /// A watch tells of a version.
    Told {
        node: usize,
        version: u64,
    },
    Stops {
        node: usize,
        until: Time,
    },
    Dies {
        node: usize,
    },
    Leaves {
        node: usize,
    },
    HearsOf {
        node: usize,
        epoch: u64,
    },
}

struct Node {
    elector: Elector,
    /// How far its clock is ahead.
    ahead: Time,
    /// Which of its lives this is: what was meant for another is not for this one.
    life: u64,
    stopped_until: Time,
    call: Option<Call>,
    heard: u64,
}

#[derive(Clone)]
struct Call {
    number: u64,
    act: Act,
    sent: Moment,
    answer: Option<Answer>,
}

#[derive(Clone)]
enum Answer {
    Read(Option<Versioned>),
    Wrote(Written),
}

struct Polls {
    dice: Rng,
    now: Time,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    counter: u64,
    nodes: Vec<Node>,
    /// Calls on their way, also those that were given up.
    calls: std::collections::HashMap<u64, (usize, Act)>,
    /// Every version that was written, the newest last. Its place is its number.
    versions: Vec<Record>,
    /// The newest leadership: whose, and its epoch.
    newest: Option<(usize, u64, u64)>,
    leaderships: u32,
}

impl Polls {
    fn new(seed: u64, nodes: usize) -> Self {
        let mut dice = Rng::with_seed(seed);
        let mut polls = Self {
            nodes: Vec::new(),
            now: 0,
            events: BinaryHeap::new(),
            counter: 0,
            calls: std::collections::HashMap::new(),
            versions: Vec::new(),
            newest: None,
            leaderships: 0,
            dice: dice.fork(),
        };
        for node in 0..nodes {
            let ahead = dice.u64(1_000_000..100_000_000);
            let elector = Elector::new("".into(), Timing::ROUSE, Moment::from_unix_millis(ahead));
            polls.nodes.push(Node { elector, ahead, life: 0, stopped_until: 0, call: None, heard: 0 });
            polls.begin(node);
        }
        let mut when = 0;
        while when < CALM {
            when += dice.u64(500..12_000);
            let node = dice.usize(..nodes);
            let event = match dice.u8(..8) {
                0..=3 => Event::Stops { node, until: (when + dice.u64(100..25_000)).min(CALM) },
                4 | 5 => Event::Dies { node },
                6 => Event::Leaves { node },
                _ => Event::HearsOf { node, epoch: dice.u64(..20) },
            };
            polls.at(when.min(CALM), event);
        }
        polls
    }

    fn at(&mut self, time: Time, event: Event) {
        self.counter += 1;
        self.events.push(Reverse((time, self.counter, event)));
    }

    /// A new life of a node.
    fn begin(&mut self, node: usize) {
        self.counter += 1;
        let name = format!("{node}_{}", self.counter);
        let is = &mut self.nodes[node];
        is.life += 1;
        is.call = None;
        is.heard = 0;
        is.elector = Elector::new(name.into(), Timing::ROUSE, Moment::from_unix_millis(is.ahead + self.now));
        let life = is.life;
        self.at(self.now, Event::Looks { node, life });
    }

    fn clock(&self, node: usize) -> Moment {
        Moment::from_unix_millis(self.now + self.nodes[node].ahead)
    }

    fn is_calm(&self) -> bool {
        CALM <= self.now
    }

    /// How long something takes on its way: mostly little, at times far longer than anybody waits.
    fn delay(&mut self) -> Time {
        match self.dice.u8(..10) {
            _ if self.is_calm() => self.dice.u64(1..20),
            0 => self.dice.u64(1..40_000),
            1 | 2 => self.dice.u64(1..1_500),
            _ => self.dice.u64(1..50),
        }
    }

    fn is_lost(&mut self) -> bool {
        !self.is_calm() && self.dice.u8(..8) == 0
    }

    fn run(mut self) -> Result<u32, TestCaseError> {
        while let Some(Reverse((time, _, event))) = self.events.pop() {
            if END < time {
                break;
            }
            self.now = time;
            self.happen(event);
            self.check()?;
        }
        let leaders = self.leaders();
        prop_assert_eq!(leaders.len(), 1, "once nothing fails, somebody leads");
        Ok(self.leaderships)
    }

    fn leaders(&self) -> Vec<(usize, u64)> {
        let leader = |node: usize| match self.nodes[node].elector.leadership(self.clock(node)) {
            Leadership::Leading { epoch, .. } => Some((node, epoch)),
            Leadership::Following => None,
        };
        (0..self.nodes.len()).filter_map(leader).collect()
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let leaders = self.leaders();
        prop_assert!(leaders.len() <= 1, "two lead at {}: {:?}", self.now, leaders);
        let Some((node, epoch)) = leaders.first().copied() else { return Ok(()) };
        prop_assert!(self.nodes[node].heard <= epoch, "led with an epoch lower than one it has heard of");
        let this = (node, self.nodes[node].life, epoch);
        if self.newest != Some(this) {
            if let Some((_, _, before)) = self.newest {
                prop_assert!(before < epoch, "epoch {} after {}", epoch, before);
            }
            self.newest = Some(this);
            self.leaderships += 1;
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) {
        let node = match event {
            Event::Arrives { call, is_write, .. } => return self.serve(call, is_write),
            Event::Looks { node, .. }
            | Event::Ends { node, .. }
            | Event::Told { node, .. }
            | Event::Stops { node, .. }
            | Event::Dies { node }
            | Event::Leaves { node }
            | Event::HearsOf { node, .. } => node,
        };
        if self.now < self.nodes[node].stopped_until {
            return self.at(self.nodes[node].stopped_until, event);
        }
        let now = self.clock(node);
        match event {
            Event::Arrives { .. } => {}
            Event::Looks { life, .. } => {
                if life == self.nodes[node].life {
                    self.look(node);
                }
            }
            Event::Ends { call, answered, .. } => self.end(node, call, answered),
            Event::Told { version, .. } => {
                let record = self.version(version);
                let elector = &mut self.nodes[node].elector;
                if elector.listens(now) {
                    elector.saw(now, record);
                }
                self.look(node);
            }
            Event::Stops { until, .. } => self.nodes[node].stopped_until = until,
            Event::Dies { .. } => self.begin(node),
            Event::Leaves { .. } => {
                self.nodes[node].elector.leave(now);
                self.look(node);
            }
            Event::HearsOf { epoch, .. } => {
                let is = &mut self.nodes[node];
                is.heard = is.heard.max(epoch);
                is.elector.heard_of(epoch);
                self.look(node);
            }
        }
    }

    fn look(&mut self, node: usize) {
        if self.nodes[node].call.is_some() {
            return;
        }
        let now = self.clock(node);
        let act = self.nodes[node].elector.next(now);
        match act {
            Act::Done => self.begin(node),
            Act::Wait(until) => {
                assert!(now < until, "it waits for what has come");
                let (later, life) = (u64::try_from(until.since(now).as_millis()).unwrap(), self.nodes[node].life);
                self.at(self.now + later.max(1), Event::Looks { node, life });
            }
            act => {
                self.counter += 1;
                let call = self.counter;
                self.calls.insert(call, (node, act.clone()));
                let is_write = act != Act::Read;
                self.nodes[node].call = Some(Call { number: call, act, sent: now, answer: None });
                let delay = self.delay();
                if !self.is_lost() {
                    self.at(self.now + delay, Event::Arrives { node, call, is_write });
                }
                self.at(self.now + PATIENCE, Event::Ends { node, call, answered: false });
            }
        }
    }

    fn version(&self, number: u64) -> Option<Versioned> {
        let record = self.versions.get(usize::try_from(number).unwrap())?.clone();
        Some(Versioned { record, version: number.to_string().into() })
    }

    fn newest(&self) -> Option<Versioned> {
        self.version((self.versions.len() as u64).wrapping_sub(1))
    }

    fn serve(&mut self, call: u64, is_write: bool) {
        let Some((node, act)) = self.calls.remove(&call) else { return };
        let before = self.newest();
        let answer = match (act, before) {
            (Act::Create(record), None) => {
                self.versions.push(record);
                Answer::Wrote(Written::Done(self.newest().unwrap()))
            }
            (Act::Replace(wanted), Some(is)) if wanted.version == is.version => {
                self.versions.push(wanted.record);
                Answer::Wrote(Written::Done(self.newest().unwrap()))
            }
            (Act::Replace(_), None) => Answer::Wrote(Written::Missing),
            (Act::Create(_) | Act::Replace(_), Some(_)) => Answer::Wrote(Written::Conflict),
            (Act::Read | Act::Wait(_) | Act::Done, is) => Answer::Read(is),
        };
        if is_write && matches!(answer, Answer::Wrote(Written::Done(_))) {
            let version = self.versions.len() as u64 - 1;
            for other in 0..self.nodes.len() {
                if !self.is_lost() {
                    let delay = self.delay();
                    self.at(self.now + delay, Event::Told { node: other, version });
                }
            }
        }
        if let Some(open) = self.nodes[node].call.as_mut().filter(|open| open.number == call) {
            open.answer = Some(answer);
            let delay = self.delay();
            if !self.is_lost() {
                self.at(self.now + delay, Event::Ends { node, call, answered: true });
            }
        }
    }

    fn end(&mut self, node: usize, call: u64, answered: bool) {
        let now = self.clock(node);
        let spread = self.dice.f64();
        let is = &mut self.nodes[node];
        let Some(open) = is.call.take_if(|open| open.number == call) else { return };
        match (open.answer.filter(|_| answered), open.act) {
            (Some(Answer::Read(record)), _) => is.elector.saw(now, record),
            (Some(Answer::Wrote(written)), _) => is.elector.wrote(open.sent, now, written, spread),
            (None, Act::Read) => is.elector.saw_nothing(now),
            (None, _) => is.elector.wrote(open.sent, now, Written::Unknown, spread),
        }
        self.look(node);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn never_do_two_lead_and_each_leadership_has_a_higher_epoch(seed in any::<u64>(), nodes in 2..4_usize) {
        Polls::new(seed, nodes).run()?;
    }
}

#[test]
fn leaderships_do_change_hands_in_these_polls() {
    let changes: u32 = (0..20).map(|seed| Polls::new(seed, 2).run().unwrap()).sum();
    assert!(100 < changes, "{changes}");
}
