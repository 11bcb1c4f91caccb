//! What holds whatever comes in whatever order: nobody overtakes, no place and no byte of the budget leaks, no replica
//! gets more than its limit, and nothing is forwarded that was promised not to be.
//!
//! All that a hold decides, it decides under its one lock, so every interleaving is a sequence of calls; between two of
//! them only this can happen outside: one that was told where to go has not heard yet. Such sequences are made here, on
//! one thread and a clock that is moved by hand. No explorer of interleavings sees more, and threads would add only that
//! it is one lock; that the budget, which is not under it, keeps its count among threads is tested where it is.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use breaker::Budget;
use futures_util::FutureExt as _;
use platform::UpstreamProtocol;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::sync::broadcast;

use super::*;
use crate::fixtures::{hold_within, queue};
use crate::replica::UpstreamSettings;

const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// For some eight that wait.
const BUDGET: u64 = 8 * HELD_REQUEST_BYTES;
const REPLICAS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    /// So many bytes of its body come unasked.
    Arrive(u64),
    /// One that waits looks whether it may go.
    Look(Index),
    /// A client leaves, wherever its request is.
    Leave(Index),
    /// The replica of one refuses the connection.
    Refused(Index),
    /// The replica of one begins to answer.
    Answers(Index),
    /// Bytes of the body of one that waits come.
    Bytes(Index, u64),
    /// These replicas there are, and which of them have just answered a probe.
    Offer {
        there: u8,
        probed: u8,
    },
    /// 0: no limit.
    Limits {
        replica: u32,
        line: u32,
    },
    Wait(Duration),
    Seal(Duration),
    SealEnds(Ending),
    CannotWake,
    CanWake,
    Gone(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let any_of = any::<Index>;
    let ending = prop_oneof![Just(Ending::Committed), Just(Ending::Released)];
    prop_oneof![
        9 => prop_oneof![3 => Just(0), 1 => 0..HELD_REQUEST_BYTES].prop_map(Step::Arrive),
        6 => any_of().prop_map(Step::Look),
        6 => any_of().prop_map(Step::Leave),
        3 => any_of().prop_map(Step::Refused),
        2 => any_of().prop_map(Step::Answers),
        2 => (any_of(), 0..2 * HELD_REQUEST_BYTES).prop_map(|(who, bytes)| Step::Bytes(who, bytes)),
        5 => any::<(u8, u8)>().prop_map(|(there, probed)| Step::Offer { there, probed }),
        1 => (0_u32..4, 1_u32..12).prop_map(|(replica, line)| Step::Limits { replica, line }),
        3 => (0_u64..4_000).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
        1 => (1_u64..3_500).prop_map(|millis| Step::Seal(Duration::from_millis(millis))),
        1 => ending.prop_map(Step::SealEnds),
        1 => Just(Step::CannotWake),
        1 => Just(Step::CanWake),
        1 => any::<bool>().prop_map(Step::Gone),
    ]
}

/// A line with room for few bytes, so that it is full before the budget is, and after.
fn short(line: u32) -> QueueLimits {
    QueueLimits { max_bytes: 2 * HELD_REQUEST_BYTES, ..queue(line) }
}

/// One request, as its owner has it.
struct Guest {
    visit: Visit,
    standing: Standing,
    /// Of its body, for which room was made.
    bytes: u64,
    /// What it takes of the budget.
    share: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    InLine(WaiterId),
    /// It was told where to go, and has not heard.
    Told,
    /// It was refused, and has not heard.
    Dismissed,
    AtReplica,
}

/// The hold, and what everybody outside knows of it.
struct World {
    hold: Arc<Hold>,
    budget: Budget,
    replicas: Vec<Arc<Replica>>,
    candidates: Vec<Candidate>,
    limit: u32,
    guests: Vec<Guest>,
    /// Who waits, first come first.
    line: VecDeque<WaiterId>,
    seal: SealId,
    pokes: broadcast::Receiver<RevisionKey>,
    wanting: bool,
}

impl World {
    fn new(limit: u32, depth: u32) -> Self {
        let budget = Budget::new(BUDGET);
        let hold = hold_within(budget.clone(), limit, depth);
        hold.set_limits(ConcurrencyLimit::from_field(limit), short(depth));
        let settings = UpstreamSettings { protocol: UpstreamProtocol::Http1 };
        let replica = |number: usize| {
            let address = SocketAddr::from(([127, 0, 0, 1], 9));
            let name = format!("replica-{number}").into();
            Arc::new(Replica::new(ReplicaId(number as u64), name, address, settings, true, None, hold.clock.now()))
        };
        Self {
            replicas: (0..REPLICAS).map(replica).collect(),
            candidates: Vec::new(),
            pokes: hold.wakes.listen(),
            wanting: false,
            limit,
            guests: Vec::new(),
            line: VecDeque::new(),
            seal: SealId { epoch: 1, seq: 0 },
            hold,
            budget,
        }
    }

    /// The name in the line that was given last.
    fn newest(&self) -> WaiterId {
        WaiterId(self.hold.inner.lock().next_waiter - 1)
    }

    async fn take(&mut self, step: &Step) {
        let before = self.in_flight();
        let pick = |who: &Index| (!self.guests.is_empty()).then(|| who.index(self.guests.len()));
        let mut all_dismissed = false;
        match step {
            Step::Arrive(bytes) => self.arrive(*bytes),
            Step::Look(who) => pick(who).into_iter().for_each(|number| self.look(number)),
            Step::Leave(who) => pick(who).into_iter().for_each(|number| self.leave(number)),
            Step::Refused(who) => pick(who).into_iter().for_each(|number| self.refused(number)),
            Step::Answers(who) => {
                if let Some(guest) = pick(who).map(|number| &mut self.guests[number])
                    && guest.standing == Standing::AtReplica
                {
                    guest.visit.answered();
                    guest.share = 0;
                }
            }
            Step::Bytes(who, bytes) => {
                if let Some(guest) = pick(who).map(|number| &mut self.guests[number])
                    && guest.visit.make_room(*bytes)
                {
                    let more = bytes.saturating_sub(guest.bytes);
                    guest.bytes += more;
                    guest.share += more;
                }
            }
            Step::Offer { there, probed } => self.offer(*there, *probed),
            Step::Limits { replica, line } => {
                self.limit = *replica;
                self.hold.set_limits(ConcurrencyLimit::from_field(*replica), short(*line));
            }
            Step::Wait(time) => tokio::time::advance(*time).await,
            Step::Seal(ttl) => {
                self.seal.seq += 1;
                if self.hold.seal_asked(self.seal, *ttl, self.seal.epoch) == Verdict::Sealed {
                    assert!(before.is_empty() && self.line.is_empty(), "promised although something is here");
                }
            }
            Step::SealEnds(ending) => self.hold.seal_ended(self.seal, *ending),
            Step::CannotWake => {
                all_dismissed = !self.hold.inner.lock().has_usable();
                self.hold.refuse(false, "nobody leads".into(), Duration::from_secs(3));
            }
            Step::CanWake => self.hold.clear_refusal(),
            Step::Gone(gone) => {
                all_dismissed = *gone;
                self.hold.set_gone(*gone);
            }
        }
        self.settle(all_dismissed);
        self.check(&before);
    }

    fn arrive(&mut self, bytes: u64) {
        match self.hold.arrive(&HeaderValue::from_static("request"), bytes) {
            Ok(visit) if visit.waits() => {
                let waiter = self.newest();
                self.line.push_back(waiter);
                self.guests.push(Guest {
                    visit,
                    standing: Standing::InLine(waiter),
                    bytes,
                    share: HELD_REQUEST_BYTES + bytes,
                });
            }
            Ok(visit) => {
                assert!(self.line.is_empty(), "it went past those who wait");
                self.guests.push(Guest { visit, standing: Standing::AtReplica, bytes: 0, share: 0 });
            }
            Err(_) => {}
        }
    }

    fn look(&mut self, number: usize) {
        let guest = &mut self.guests[number];
        let heard = guest.visit.replica(LONGEST_WAIT).now_or_never();
        match (guest.standing, heard) {
            (Standing::InLine(_), None) => {}
            (Standing::InLine(_), Some(Err(Refused::WaitedTooLong { .. }))) => {
                assert!(LONGEST_WAIT <= self.hold.clock.now().since(guest.visit.arrived));
                self.leave(number);
            }
            (Standing::Told | Standing::AtReplica, Some(Ok(_))) => guest.standing = Standing::AtReplica,
            (Standing::Dismissed, Some(Err(_))) => self.leave(number),
            (standing, heard) => {
                panic!("{standing:?}, and what it heard is {:?}", heard.map(|heard| heard.map(|_| ())))
            }
        }
    }

    fn leave(&mut self, number: usize) {
        let gone = self.guests.swap_remove(number);
        if let Standing::InLine(waiter) = gone.standing {
            self.line.retain(|waits| *waits != waiter);
        }
        drop(gone);
    }

    fn refused(&mut self, number: usize) {
        let guest = &mut self.guests[number];
        if guest.standing != Standing::AtReplica {
            return;
        }
        let replica = guest.visit.replica(LONGEST_WAIT).now_or_never().expect("it is there").expect("it is there");
        let room = self.budget.limit() - self.budget.used();
        guest.visit.step_back(&HeaderValue::from_static("request"));
        let waits = guest.visit.waits();
        if waits {
            if guest.share == 0 && HELD_REQUEST_BYTES <= room {
                guest.share = HELD_REQUEST_BYTES;
            }
            let waiter = self.newest();
            self.line.push_front(waiter);
            self.guests[number].standing = Standing::InLine(waiter);
        } else {
            match guest.visit.replica(LONGEST_WAIT).now_or_never().expect("it is there") {
                Ok(next) => assert_ne!(replica.id, next.id, "it was sent back to who refused it"),
                Err(_) => {
                    assert!(LONGEST_WAIT <= self.hold.clock.now().since(guest.visit.arrived));
                    self.leave(number);
                }
            }
        }
    }

    fn offer(&mut self, there: u8, probed: u8) {
        let now = self.hold.clock.now();
        let known = |replica: &Arc<Replica>| {
            let known = self.candidates.iter().find(|known| known.replica.id == replica.id);
            known.and_then(|known| known.probe_begun)
        };
        let there = |number: &usize| there & (1 << number) != 0;
        let candidate = |number: usize| {
            let replica = Arc::clone(&self.replicas[number]);
            let probe_begun = if probed & (1 << number) != 0 { Some(now) } else { known(&replica) };
            Candidate { replica, probe_begun }
        };
        self.candidates = (0..REPLICAS).filter(there).map(candidate).collect();
        self.hold.offer(self.candidates.clone());
        let inner = self.hold.inner.lock();
        assert_eq!(inner.line.capacity(), inner.replicas.capacity(now), "the line has other room than the replicas");
    }

    /// Who does not wait any more was told where to go, or to go away.
    fn settle(&mut self, all_dismissed: bool) {
        let inner = self.hold.inner.lock();
        let now = self.hold.clock.now();
        let waits = |waiter: &WaiterId| inner.waiters.contains_key(waiter);
        let told: Vec<WaiterId> = self.line.iter().copied().filter(|waiter| !waits(waiter)).collect();
        assert!(self.line.iter().take(told.len()).eq(&told), "somebody overtook");
        self.line.drain(..told.len());
        for guest in &mut self.guests {
            if let Standing::InLine(waiter) = guest.standing
                && told.contains(&waiter)
            {
                guest.standing = if all_dismissed { Standing::Dismissed } else { Standing::Told };
            }
        }
        let forwards = !all_dismissed && !told.is_empty();
        assert!(!forwards || inner.seal.may_forward(now) != Forward::Hold, "forwarded in spite of the promise");
    }

    fn in_flight(&self) -> BTreeMap<u64, u32> {
        let inner = self.hold.inner.lock();
        let all = self.replicas.iter().map(|replica| (replica.id.0, inner.replicas.in_flight(replica.id)));
        all.filter(|(_, in_flight)| *in_flight != 0).collect()
    }

    fn check(&mut self, before: &BTreeMap<u64, u32>) {
        let after = self.in_flight();
        for (replica, in_flight) in &after {
            let was = before.get(replica).copied().unwrap_or(0);
            assert!(self.limit == 0 || *in_flight <= self.limit.max(was), "replica {replica} has more than it may");
        }
        let want = self.hold.want();
        let (reading, held) = self.hold.reading();
        let inner = self.hold.inner.lock();
        let now = self.hold.clock.now();

        let standing = |wanted: fn(Standing) -> bool| self.guests.iter().filter(move |guest| wanted(guest.standing));
        let going = standing(|standing| matches!(standing, Standing::Told | Standing::AtReplica)).count();
        assert_eq!(inner.line.running() as usize, going, "a place leaked, or is counted twice");
        assert_eq!(after.values().sum::<u32>() as usize, going);
        assert_eq!((inner.line.waiting() as usize, inner.waiters.len()), (self.line.len(), self.line.len()));
        assert_eq!(inner.line.first(), self.line.front().copied(), "somebody overtook");
        assert_eq!((reading.in_flight as usize, held as usize), (self.guests.len(), self.line.len()));
        let gauges = (self.hold.metrics.in_flight.get(), self.hold.metrics.held.get());
        assert_eq!(gauges, (i64::from(reading.in_flight), i64::from(held)), "the gauges say other than the frames");

        let waiting = standing(|standing| matches!(standing, Standing::InLine(_)));
        assert_eq!(inner.line.bytes(), waiting.map(|guest| guest.bytes).sum::<u64>(), "bytes of nobody are held");
        let shares: u64 = self.guests.iter().map(|guest| guest.share).sum();
        assert_eq!(self.budget.used(), shares, "room is taken for nobody");
        assert!(shares <= BUDGET, "more than the budget is used");

        if inner.seal.may_forward(now) == Forward::Hold {
            assert_eq!(inner.replicas.offered().count(), 0, "something is on offer in spite of the promise");
        }
        // Wanting is said when it begins, once.
        let wants = !self.line.is_empty() && !inner.has_usable();
        assert_eq!((want.is_some(), inner.wants()), (wants, wants));
        let said = std::iter::from_fn(|| self.pokes.try_recv().ok()).count();
        assert_eq!(said, usize::from(wants && !self.wanting), "a missing replica is said when it comes to be missing");
        self.wanting = wants;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_the_hold_is_fair_and_bounded_and_everything_comes_back(
        steps in prop::collection::vec(step(), 0..150),
        limit in 0_u32..4,
        depth in 1_u32..12,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(limit, depth);
            for step in &steps {
                world.take(step).await;
            }
            while let Some(last) = world.guests.len().checked_sub(1) {
                let before = world.in_flight();
                world.leave(last / 2);
                world.settle(false);
                world.check(&before);
            }
            let inner = world.hold.inner.lock();
            assert_eq!((inner.line.in_flight(), inner.line.bytes(), inner.waiters.len()), (0, 0, 0));
            assert_eq!((world.budget.used(), world.hold.metrics.in_flight.get()), (0, 0));
        });
    }
}
