//! What holds whatever comes in whatever order: nobody overtakes, no place leaks, and never are more at the model than
//! may be.
//!
//! All that a gate decides, it decides under its one lock, so every interleaving is a sequence of calls, and between two
//! of them only this can happen outside: one that was told to go has not heard yet. The first test makes such sequences
//! itself, on one thread, and polls by hand; no explorer of interleavings sees more. The second makes sure that it *is*
//! one lock, with threads.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Bytes of bodies that may be held.
const BUDGET: u64 = 1_000;

#[derive(Clone, Debug)]
enum Step {
    Arrive,
    /// One that waits looks whether it may go.
    Look(Index),
    /// A client leaves, wherever its request is.
    Leave(Index),
    /// One at the model finds that the model is not there.
    NobodyThere(Index),
    /// The head of an answer comes.
    Answered(Index),
    Upgrade(Index),
    /// Bytes of the body of one that waits come.
    Bytes(Index, u64),
    Open(bool),
    /// 0: no limit.
    Limit(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let any_of = any::<Index>;
    prop_oneof![
        8 => Just(Step::Arrive),
        6 => any_of().prop_map(Step::Look),
        5 => any_of().prop_map(Step::Leave),
        2 => any_of().prop_map(Step::NobodyThere),
        2 => any_of().prop_map(Step::Answered),
        1 => any_of().prop_map(Step::Upgrade),
        2 => (any_of(), 0..BUDGET).prop_map(|(who, bytes)| Step::Bytes(who, bytes)),
        2 => any::<bool>().prop_map(Step::Open),
        2 => (0_u32..5).prop_map(Step::Limit),
    ]
}

/// One request, as its owner has it.
enum Request {
    Waits {
        ticket: Ticket,
        turn: oneshot::Receiver<()>,
    },
    AtModel(Ticket),
    /// Refused, and its refusal is still being sent.
    Refused(Ticket),
}

impl Request {
    fn ticket(&self) -> &Ticket {
        match self {
            Self::Waits { ticket, .. } | Self::AtModel(ticket) | Self::Refused(ticket) => ticket,
        }
    }

    /// Its name in the line, if it has not heard that it may go.
    fn waiter(&self) -> Option<WaiterId> {
        match self {
            Self::Waits { ticket: Ticket { place: Place::InLine(waiter), .. }, .. } => Some(*waiter),
            Self::Waits { .. } | Self::AtModel(_) | Self::Refused(_) => None,
        }
    }
}

/// The gate, and what everybody outside knows of it.
struct World {
    gate: Arc<Gate>,
    depth: u32,
    open: bool,
    limit: u32,
    requests: Vec<Request>,
    /// Who waits and was not told to go, first come first.
    line: VecDeque<WaiterId>,
    /// Who was told to go, and has not heard.
    told: Vec<WaiterId>,
}

impl World {
    fn new(limit: u32, depth: u32) -> Self {
        Self {
            gate: gate(limit, depth),
            depth,
            open: false,
            limit,
            requests: Vec::new(),
            line: VecDeque::new(),
            told: Vec::new(),
        }
    }

    fn capacity(&self) -> usize {
        match (self.open, self.limit) {
            (false, _) => 0,
            (true, 0) => usize::MAX,
            (true, limit) => limit as usize,
        }
    }

    fn going(&self) -> usize {
        self.told.len() + self.requests.iter().filter(|request| matches!(request, Request::AtModel(_))).count()
    }

    /// What the gate must have told by now: the first in line, as many as there is room for.
    fn admit(&mut self) {
        while self.going() < self.capacity() {
            let Some(next) = self.line.pop_front() else { break };
            self.told.push(next);
        }
    }

    fn waits(&mut self, ticket: Ticket, turn: oneshot::Receiver<()>) -> WaiterId {
        let request = Request::Waits { ticket, turn };
        let waiter = request.waiter().expect("it has a place in the line");
        self.requests.push(request);
        waiter
    }

    fn arrive(&mut self) {
        let going = self.going();
        let has_place = match self.limit {
            0 => self.line.len() < self.depth as usize,
            limit => going + self.line.len() < (self.depth + limit) as usize,
        };
        let (ticket, arrived) = self.gate.arrive(Via::Direct);
        match arrived {
            Arrived::Goes => {
                assert!(going < self.capacity() && self.line.is_empty(), "it went past others, or beyond the capacity");
                self.requests.push(Request::AtModel(ticket));
            }
            Arrived::Waits(turn) => {
                assert!(has_place && self.capacity() <= going, "it waits without need, or without a place");
                let waiter = self.waits(ticket, turn);
                self.line.push_back(waiter);
            }
            Arrived::Full(_) => {
                assert!(!has_place, "it is refused although there is a place");
                self.requests.push(Request::Refused(ticket));
            }
        }
    }

    fn look(&mut self, number: usize) {
        let Some(waiter) = self.requests[number].waiter() else { return };
        let Request::Waits { mut ticket, turn } = self.requests.swap_remove(number) else { return };
        if turn.is_empty() {
            assert!(self.line.contains(&waiter), "its turn has come, and it does not hear of it");
            self.requests.push(Request::Waits { ticket, turn });
        } else {
            let place = self.told.iter().position(|told| *told == waiter);
            self.told.remove(place.expect("it goes though its turn has not come"));
            ticket.wait(turn).now_or_never().expect("its turn has come");
            self.requests.push(Request::AtModel(ticket));
        }
    }

    fn leave(&mut self, number: usize) {
        if let Some(waiter) = self.requests[number].waiter() {
            self.line.retain(|waits| *waits != waiter);
            self.told.retain(|told| *told != waiter);
        }
        drop(self.requests.swap_remove(number));
        self.admit();
    }

    fn step_back(&mut self, number: usize) {
        if !matches!(self.requests[number], Request::AtModel(_)) {
            return;
        }
        let Request::AtModel(mut ticket) = self.requests.swap_remove(number) else { return };
        let others = self.going();
        match ticket.step_back() {
            Arrived::Waits(turn) => {
                assert!(self.capacity() <= others, "it was sent back although there is room");
                let waiter = self.waits(ticket, turn);
                self.line.push_front(waiter);
            }
            Arrived::Goes => {
                assert!(others < self.capacity());
                self.requests.push(Request::AtModel(ticket));
            }
            Arrived::Full(_) => panic!("who was let in is not refused"),
        }
    }

    fn take(&mut self, step: &Step) {
        let running_before = self.gate.running();
        let pick = |who: &Index| (!self.requests.is_empty()).then(|| who.index(self.requests.len()));
        match step {
            Step::Arrive => self.arrive(),
            Step::Look(who) => pick(who).into_iter().for_each(|number| self.look(number)),
            Step::Leave(who) => pick(who).into_iter().for_each(|number| self.leave(number)),
            Step::NobodyThere(who) => pick(who).into_iter().for_each(|number| self.step_back(number)),
            Step::Answered(who) => {
                if let Some(Request::AtModel(ticket)) = pick(who).map(|number| &mut self.requests[number]) {
                    ticket.answered(http::StatusCode::OK, Outcome::Answered);
                }
            }
            Step::Upgrade(who) => {
                if let Some(Request::AtModel(ticket)) = pick(who).map(|number| &mut self.requests[number])
                    && !ticket.counted.upgraded
                {
                    ticket.upgraded();
                }
            }
            Step::Bytes(who, bytes) => {
                if let Some(Request::Waits { ticket, .. }) = pick(who).map(|number| &mut self.requests[number]) {
                    let _has_room = ticket.make_room(*bytes);
                }
            }
            Step::Open(open) => {
                self.open = *open;
                self.gate.open(*open);
                self.admit();
            }
            Step::Limit(limit) => {
                self.limit = *limit;
                self.gate.limit(ConcurrencyLimit::from_field(*limit));
                self.admit();
            }
        }
        self.check(running_before as usize);
    }

    fn check(&mut self, running_before: usize) {
        let (reading, waiting) = self.gate.read();
        let running = self.gate.running() as usize;
        assert_eq!((running, waiting as usize), (self.going(), self.line.len()));
        assert_eq!(reading.in_flight as usize, self.requests.len(), "who is here is counted, and nobody else");
        assert!(running <= self.capacity().max(running_before), "more are at the model than may be");
        let inner = self.gate.inner.lock();
        assert_eq!(inner.line.first(), self.line.front().copied(), "somebody overtook");
        assert_eq!(inner.waiting.len(), self.line.len(), "somebody is remembered who does not wait");
        drop(inner);
        let shares = self.requests.iter().filter_map(|request| request.ticket().share.as_ref());
        let bytes: u64 = shares.map(Share::bytes).sum();
        assert_eq!(self.gate.budget.used(), bytes, "room is taken for nobody");
        assert!(bytes <= BUDGET, "more is held than may be");
    }
}

fn gate(limit: u32, depth: u32) -> Arc<Gate> {
    let budget = Budget::new(BUDGET);
    let metrics = Metrics::register(&prometheus::Registry::new(), &budget).unwrap();
    let limit = ConcurrencyLimit::from_field(limit);
    Arc::new(Gate::new(Clock::start(), limit, Some(depth), budget, metrics, CancellationToken::new()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_the_gate_is_fair_and_bounded_and_every_place_comes_back(
        steps in prop::collection::vec(step(), 0..150),
        limit in 0_u32..4,
        depth in 0_u32..6,
    ) {
        let mut world = World::new(limit, depth);
        for step in &steps {
            world.take(step);
        }
        // Who is told goes, whatever happened before.
        for number in (0..world.requests.len()).rev() {
            world.look(number);
        }
        while !world.requests.is_empty() {
            world.leave(world.requests.len() / 2);
            world.check(usize::MAX);
        }
        let (reading, waiting) = world.gate.read();
        prop_assert_eq!((reading.in_flight, reading.upgraded, waiting, world.gate.running()), (0, 0, 0, 0));
        prop_assert_eq!(world.gate.budget.used(), 0);
    }
}

/// Each of some threads sends requests one after the other; some leave in the middle, some step back, and meanwhile the
/// model is ready and not, and its limit changes.
#[test]
fn many_threads_at_once_never_exceed_the_limit_and_leave_nothing_behind() {
    const THREADS: u64 = 8;
    const ROUNDS: u32 = 400;
    const MOST: u32 = 3;
    let gate = gate(MOST, 4);
    let (at_model, is_over) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let (done, all_done) = mpsc::channel();

    for thread in 0..THREADS {
        let (gate, at_model, done) = (gate.clone(), at_model.clone(), done.clone());
        std::thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(thread);
            for _ in 0..ROUNDS {
                one_request(&gate, &at_model, MOST, &mut random);
            }
            done.send(()).unwrap();
        });
    }
    let changes = {
        let (gate, is_over) = (gate.clone(), is_over.clone());
        std::thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(THREADS);
            while !is_over.load(Ordering::Relaxed) {
                gate.open(random.u8(..4) != 0);
                gate.limit(ConcurrencyLimit::from_field(random.u32(1..=MOST)));
            }
            gate.open(true);
        })
    };

    for _ in 0..THREADS {
        // A place that leaked, or a turn that nobody heard of, would hold a thread for ever.
        all_done.recv_timeout(Duration::from_secs(60)).expect("somebody waits for a turn that never comes");
    }
    is_over.store(true, Ordering::Relaxed);
    changes.join().unwrap();
    let (reading, waiting) = gate.read();
    assert_eq!((reading.in_flight, waiting, gate.running()), (0, 0, 0));
    assert_eq!(reading.requests, THREADS * u64::from(ROUNDS));
}

fn one_request(gate: &Arc<Gate>, at_model: &AtomicU32, most: u32, random: &mut fastrand::Rng) {
    let (mut ticket, mut arrived) = gate.arrive(Via::Direct);
    for _ in 0..3 {
        match arrived {
            Arrived::Full(_) => return,
            Arrived::Goes => {}
            Arrived::Waits(turn) => {
                if random.u8(..4) == 0 {
                    // Its client leaves at any moment, also in the one in which its turn comes.
                    return;
                }
                block_on(ticket.wait(turn));
            }
        }
        let here = at_model.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(here <= most, "{here} are at the model, and at most {most} may be");
        std::thread::yield_now();
        at_model.fetch_sub(1, Ordering::SeqCst);
        if random.bool() {
            return;
        }
        arrived = ticket.step_back();
    }
}

/// Runs a future on this thread, which sleeps until it is woken.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Thread(std::thread::Thread);
    impl std::task::Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
