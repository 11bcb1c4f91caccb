use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest::sample::Index;
use units::Capacity::{AtMost, Unlimited};

use super::*;

const ROOMY: Limits = Limits { waiting: 100, in_flight: None, bytes: 1_000 };

fn ids(numbers: &[u64]) -> Vec<WaiterId> {
    numbers.iter().copied().map(WaiterId).collect()
}

#[test]
fn the_first_replica_lets_in_as_many_as_it_has_room_for() {
    let mut line = Line::new(AtMost(0), Limits { waiting: 3, ..ROOMY });
    let entries = [1, 2, 3, 4].map(|n| line.arrive(WaiterId(n), 0));
    assert_eq!(entries, [Entry::Wait, Entry::Wait, Entry::Wait, Entry::Full]);

    assert!(line.give_up(WaiterId(1)));

    assert_eq!(line.set_capacity(AtMost(1)), ids(&[2]));
    assert_eq!(line.finish(), Some(WaiterId(3)));
    assert_eq!(line.finish(), None);
    assert_eq!(line.in_flight(), 0);
}

#[test]
fn nobody_waits_before_an_unlimited_capacity() {
    let mut line = Line::new(AtMost(0), ROOMY);
    assert_eq!([1, 2].map(|n| line.arrive(WaiterId(n), 0)), [Entry::Wait; 2]);
    assert_eq!(line.set_capacity(Unlimited), ids(&[1, 2]));
    assert_eq!(line.arrive(WaiterId(3), 0), Entry::Go);
}

#[test]
fn one_that_leaves_the_middle_leaves_no_gap() {
    let mut line = Line::new(AtMost(0), Limits { waiting: 2, ..ROOMY });
    assert_eq!([1, 2].map(|n| line.arrive(WaiterId(n), 0)), [Entry::Wait; 2]);
    assert!(line.give_up(WaiterId(1)));
    assert!(!line.give_up(WaiterId(1)));
    assert_eq!(line.arrive(WaiterId(3), 0), Entry::Wait);
    assert_eq!(line.set_capacity(Unlimited), ids(&[2, 3]));
    assert!(!line.give_up(WaiterId(2)), "it goes, and must finish");
}

#[test]
fn a_lower_capacity_leaves_those_who_go_alone() {
    let mut line = Line::new(AtMost(2), ROOMY);
    assert_eq!([1, 2, 3].map(|n| line.arrive(WaiterId(n), 0)), [Entry::Go, Entry::Go, Entry::Wait]);
    assert_eq!(line.set_capacity(AtMost(1)), []);
    assert_eq!((line.running(), line.finish()), (2, None));
    assert_eq!((line.running(), line.finish()), (1, Some(WaiterId(3))));
}

#[test]
fn bodies_are_bounded_as_they_come_in() {
    let mut line = Line::new(AtMost(0), ROOMY);
    assert_eq!(line.arrive(WaiterId(1), 900), Entry::Wait);
    assert_eq!(line.arrive(WaiterId(2), 101), Entry::Full);
    assert_eq!(line.arrive(WaiterId(2), 50), Entry::Wait);
    assert!(line.hold_bytes(WaiterId(2), 50));
    assert!(!line.hold_bytes(WaiterId(2), 1));
    assert!(line.give_up(WaiterId(1)));
    assert!(line.hold_bytes(WaiterId(2), 900));
    assert_eq!(line.bytes(), 1_000);
    assert_eq!(line.set_capacity(AtMost(1)), ids(&[2]));
    assert!(line.hold_bytes(WaiterId(2), 5_000), "what goes is not held here");
    assert_eq!(line.bytes(), 0);
}

#[test]
fn one_that_could_not_go_waits_before_everyone() {
    let mut line = Line::new(AtMost(1), ROOMY);
    assert_eq!([1, 2].map(|n| line.arrive(WaiterId(n), 0)), [Entry::Go, Entry::Wait]);
    assert_eq!(line.step_back(WaiterId(1), 0), Entry::Go, "there is room for it as before");
    assert_eq!(line.set_capacity(AtMost(0)), []);
    assert_eq!(line.step_back(WaiterId(1), 7), Entry::Wait);
    assert_eq!((line.running(), line.bytes(), line.first()), (0, 7, Some(WaiterId(1))));
    assert_eq!(line.set_capacity(AtMost(2)), ids(&[1, 2]));
}

#[test]
fn a_breakers_limit_counts_those_who_go_too() {
    let mut line = Line::new(AtMost(1), Limits::of_breaker(1, 1, 0));
    assert_eq!([1, 2, 3].map(|n| line.arrive(WaiterId(n), 0)), [Entry::Go, Entry::Wait, Entry::Full]);
    assert_eq!(line.set_capacity(Unlimited), ids(&[2]));
    assert!(!line.reserve(), "two are in flight, whatever the capacity");
}

#[test]
fn an_id_that_waits_keeps_its_one_place() {
    let mut line = Line::new(AtMost(0), ROOMY);
    assert_eq!([1, 2, 1].map(|n| line.arrive(WaiterId(n), 5)), [Entry::Wait; 3]);
    assert_eq!((line.waiting(), line.bytes()), (2, 10));
    assert_eq!(line.set_capacity(Unlimited), ids(&[1, 2]));
}

#[derive(Clone, Debug)]
enum Op {
    Arrive { bytes: u64 },
    Reserve,
    Finish,
    GiveUp(Index),
    StepBack(Index),
    HoldBytes(Index, u64),
    SetCapacity(Option<u32>),
    DismissAll,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0_u64..300).prop_map(|bytes| Op::Arrive { bytes }),
        2 => Just(Op::Reserve),
        5 => Just(Op::Finish),
        3 => any::<Index>().prop_map(Op::GiveUp),
        1 => any::<Index>().prop_map(Op::StepBack),
        2 => (any::<Index>(), 0_u64..300).prop_map(|(index, bytes)| Op::HoldBytes(index, bytes)),
        3 => prop_oneof![4 => (0_u32..6).prop_map(Some), 1 => Just(None)].prop_map(Op::SetCapacity),
        1 => Just(Op::DismissAll),
    ]
}

/// A line with what its owner knows: who waits, in order, with how many bytes; and who goes.
struct Owner {
    line: Line,
    waiting: VecDeque<(WaiterId, u64)>,
    going: BTreeSet<WaiterId>,
    last_id: u64,
}

impl Owner {
    fn new_id(&mut self) -> WaiterId {
        self.last_id += 1;
        WaiterId(self.last_id)
    }

    /// They were told to go: they must be the first in line, in order.
    fn told(&mut self, ids: Vec<WaiterId>) {
        for id in ids {
            assert_eq!(self.waiting.pop_front().map(|(first, _)| first), Some(id));
            assert!(self.going.insert(id), "{id:?} goes twice");
        }
    }

    fn any_going(&self, index: Index) -> Option<WaiterId> {
        (!self.going.is_empty()).then(|| *index.get(&self.going.iter().copied().collect::<Vec<_>>()))
    }

    fn take(&mut self, op: Op) {
        let running_before = self.line.running();
        match op {
            Op::Arrive { bytes } => {
                let id = self.new_id();
                match self.line.arrive(id, bytes) {
                    Entry::Go => assert!(self.waiting.is_empty() && self.going.insert(id)),
                    Entry::Wait => {
                        let limits = self.line.limits;
                        assert!(self.line.waiting() <= limits.waiting);
                        // One that stepped back is never refused, so its byte may be one too many; not so a newcomer's.
                        assert!(bytes == 0 || self.line.bytes() <= limits.bytes);
                        assert!(self.line.in_flight() <= limits.in_flight.unwrap());
                        self.waiting.push_back((id, bytes));
                    }
                    Entry::Full => {
                        let limits = self.line.limits;
                        let has_place = self.line.waiting() < limits.waiting
                            && self.line.in_flight() < limits.in_flight.unwrap()
                            && self.line.bytes() + bytes <= limits.bytes;
                        assert!(!has_place, "refused with room in line");
                    }
                }
            }
            Op::Reserve => {
                let id = self.new_id();
                if self.line.reserve() {
                    assert!(self.waiting.is_empty() && self.going.insert(id));
                }
            }
            Op::Finish => {
                if self.going.pop_first().is_some() {
                    let next = self.line.finish();
                    self.told(next.into_iter().collect());
                }
            }
            Op::GiveUp(index) if !self.waiting.is_empty() => {
                let (id, _) = self.waiting.remove(index.index(self.waiting.len())).unwrap();
                assert!(self.line.give_up(id));
            }
            Op::StepBack(index) => {
                let Some(id) = self.any_going(index) else { return };
                if self.line.step_back(id, 1) == Entry::Wait {
                    self.going.remove(&id);
                    self.waiting.push_front((id, 1));
                }
            }
            Op::HoldBytes(index, more) if !self.waiting.is_empty() => {
                let (id, bytes) = index.get_mut(self.waiting.make_contiguous());
                if self.line.hold_bytes(*id, more) {
                    *bytes += more;
                    assert!(more == 0 || self.line.bytes() <= self.line.limits.bytes);
                }
            }
            Op::GiveUp(_) | Op::HoldBytes(..) => {}
            Op::SetCapacity(most) => {
                let ids = self.line.set_capacity(most.map_or(Unlimited, AtMost));
                self.told(ids);
            }
            Op::DismissAll => {
                let all: Vec<WaiterId> = self.waiting.drain(..).map(|(id, _)| id).collect();
                assert_eq!(self.line.dismiss_all(), all);
            }
        }
        self.check(running_before);
    }

    fn check(&self, running_before: u32) {
        let line = &self.line;
        assert_eq!(line.running() as usize, self.going.len());
        assert_eq!(line.waiting() as usize, self.waiting.len());
        assert_eq!(line.place_of.len(), self.waiting.len());
        assert_eq!(line.first(), self.waiting.front().map(|(id, _)| *id));
        assert_eq!(line.bytes(), self.waiting.iter().map(|(_, bytes)| bytes).sum::<u64>());
        assert!(self.waiting.iter().all(|(id, _)| !self.going.contains(id)), "someone waits and goes");
        assert!(line.waiting() == 0 || !line.capacity().has_room(line.running()), "someone waits before a free slot");
        if let AtMost(most) = line.capacity() {
            assert!(line.running() <= most.max(running_before), "more go than may");
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_line_is_fair_and_bounded_and_every_slot_comes_back(
        ops in prop::collection::vec(op(), 0..120),
        waiting in 0_u32..8,
        in_flight in 0_u32..14,
    ) {
        let limits = Limits { waiting, in_flight: Some(in_flight), bytes: 1_000 };
        let mut owner = Owner {
            line: Line::new(AtMost(2), limits),
            waiting: VecDeque::new(),
            going: BTreeSet::new(),
            last_id: 0,
        };
        for op in ops {
            owner.take(op);
        }
        owner.take(Op::SetCapacity(Some(1)));
        while !owner.going.is_empty() {
            owner.take(Op::Finish);
        }
        prop_assert_eq!((owner.line.in_flight(), owner.line.bytes()), (0, 0));
    }
}
