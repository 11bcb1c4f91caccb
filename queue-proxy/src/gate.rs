//! The place where requests are counted, and wait for room and for the model to be ready.
//!
//! The rules are `breaker`'s: [`Line`] says who goes, [`Meter`] counts. This is the lock around both, the clock, and the
//! wake-ups. A model that is not ready is a capacity of nothing, so that whoever comes waits in the same bounded line.
//!
//! What is read of the bodies of those who wait is taken from one budget of the process; what it has no room for is left
//! with the clients, or refused if they send it unasked (HTTP/2). How many of an activator's wait is bounded by the line
//! alone: it has counted them already, and must not be told that what it was promised does not hold.
//!
//! Everything that must come back does so by `Drop`: a client that leaves drops its future or its answer's body, and
//! its place is free at that instant.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use breaker::{Budget, Entry, Limits, Line, Meter, Pace, Reading, Share, Via, WaiterId};
use daemon::Clock;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use units::{Capacity, ConcurrencyLimit, Moment};

use crate::config::UNLIMITED_DEPTH;
use crate::metrics::{Metrics, Outcome};

/// Counts and bounds the requests of one model.
#[derive(Debug)]
pub(crate) struct Gate {
    clock: Clock,
    metrics: Metrics,
    depth: Option<u32>,
    /// Done when requests end because their time is up, and not because their clients have gone.
    too_late: CancellationToken,
    budget: Budget,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    line: Line,
    meter: Meter,
    pace: Pace,
    limit: ConcurrencyLimit,
    open: bool,
    next: u64,
    waiting: HashMap<WaiterId, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    turn: oneshot::Sender<()>,
    since: Moment,
}

/// The line is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// How many wait.
    pub(crate) waiting: u32,
    /// When it is worth to come back.
    pub(crate) retry_after: Duration,
}

impl Gate {
    /// Closed, as the model is not known to be ready. `too_late`: done when what is here is cut.
    pub(crate) fn new(
        clock: Clock,
        limit: ConcurrencyLimit,
        depth: Option<u32>,
        budget: Budget,
        metrics: Metrics,
        too_late: CancellationToken,
    ) -> Self {
        let inner = Inner {
            line: Line::new(Capacity::NONE, limits(limit, depth)),
            meter: Meter::new(clock.now()),
            pace: Pace::unknown(),
            limit,
            open: false,
            next: 0,
            waiting: HashMap::new(),
        };
        Self { clock, metrics, depth, too_late, budget, inner: Mutex::new(inner) }
    }

    /// Lets requests through to the model, or holds them.
    pub(crate) fn open(&self, open: bool) {
        let now = self.clock.now();
        let inner = &mut *self.inner.lock();
        inner.open = open;
        match open {
            true => inner.pace.opened(now),
            false if inner.line.waiting() != 0 => inner.pace.shut(now),
            false => {}
        }
        inner.apply(now);
    }

    /// From now on at most so many are at the model. Those that are there already are left alone.
    pub(crate) fn limit(&self, limit: ConcurrencyLimit) {
        let now = self.clock.now();
        let inner = &mut *self.inner.lock();
        inner.limit = limit;
        inner.line.set_limits(limits(limit, self.depth));
        inner.apply(now);
    }

    /// What is counted, and what waits.
    pub(crate) fn read(&self) -> (Reading, u32) {
        let now = self.clock.now();
        let inner = &mut *self.inner.lock();
        (inner.meter.read(now), inner.line.waiting())
    }

    /// How many are at the model.
    pub(crate) fn running(&self) -> u32 {
        self.inner.lock().line.running()
    }

    /// When it is worth to come back for one that finds no room now.
    pub(crate) fn come_back(&self) -> Duration {
        let now = self.clock.now();
        self.inner.lock().come_back(now)
    }

    /// One was answered with this status, and never counted as being here.
    pub(crate) fn turned_away(&self, status: http::StatusCode) {
        let class = u8::try_from(status.as_u16() / 100).ok();
        self.metrics.ended(class, Outcome::Refused, Duration::ZERO);
    }

    /// Counts a request from now to the drop of what is answered, and takes a place at the model if there is one.
    pub(crate) fn arrive(self: &Arc<Self>, via: Via) -> (Ticket, Arrived) {
        let now = self.clock.now();
        let (place, arrived) = {
            let inner = &mut *self.inner.lock();
            inner.meter.arrive(now, via);
            inner.next += 1;
            let id = WaiterId(inner.next);
            match inner.line.arrive(id, 0) {
                Entry::Go => (Place::AtModel, Arrived::Goes),
                Entry::Wait => {
                    let turn = inner.wait(id, now);
                    (Place::InLine(id), Arrived::Waits(turn))
                }
                Entry::Full => {
                    let full = Full { waiting: inner.line.waiting(), retry_after: inner.come_back(now) };
                    (Place::None, Arrived::Full(full))
                }
            }
        };
        let counted = Counted { upgraded: false, class: None, outcome: Outcome::ClientGone };
        (Ticket { gate: self.clone(), via, since: now, place, share: None, counted }, arrived)
    }
}

impl Inner {
    fn wait(&mut self, id: WaiterId, since: Moment) -> oneshot::Receiver<()> {
        if !self.open {
            self.pace.shut(since);
        }
        let (turn, told) = oneshot::channel();
        self.waiting.insert(id, Waiter { turn, since });
        told
    }

    fn come_back(&self, now: Moment) -> Duration {
        let first = self.line.first().and_then(|id| self.waiting.get(&id));
        let oldest = first.map_or(Duration::ZERO, |first| now.since(first.since));
        self.pace.come_back(now, self.line.waiting(), oldest)
    }

    fn apply(&mut self, now: Moment) {
        let capacity = if self.open { self.limit.into() } else { Capacity::NONE };
        for id in self.line.set_capacity(capacity) {
            self.tell(id, now);
        }
    }

    fn tell(&mut self, id: WaiterId, now: Moment) {
        if let Some(waiter) = self.waiting.remove(&id) {
            self.pace.went(now);
            // Whoever does not listen any more finishes when its ticket drops.
            let _ = waiter.turn.send(());
        }
    }

    /// Gives up a place, wherever it is.
    fn vacate(&mut self, place: Place, now: Moment) {
        let was_told = match place {
            Place::None => return,
            Place::AtModel => true,
            Place::InLine(id) => {
                self.waiting.remove(&id);
                !self.line.give_up(id)
            }
        };
        if was_told && let Some(next) = self.line.finish() {
            self.tell(next, now);
        }
        if !self.open && self.line.waiting() == 0 {
            self.pace.deserted();
        }
    }
}

/// The total is Knative's: the limit, and ten times as many that wait, whether the model is ready or not.
fn limits(limit: ConcurrencyLimit, depth: Option<u32>) -> Limits {
    match limit {
        ConcurrencyLimit::AtMost(limit) => {
            let depth = depth.unwrap_or(limit.get().saturating_mul(10));
            Limits::of_breaker(depth, limit.get(), u64::MAX)
        }
        ConcurrencyLimit::Unlimited => {
            Limits { waiting: depth.unwrap_or(UNLIMITED_DEPTH), in_flight: None, bytes: u64::MAX }
        }
    }
}

/// What became of a request that came.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// It may go to the model.
    Goes,
    /// It has a place in the line; see [`Ticket::wait`].
    Waits(oneshot::Receiver<()>),
    /// It is to be refused.
    Full(Full),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    None,
    InLine(WaiterId),
    AtModel,
}

/// One counted request. Dropping it is the only way to stop counting, and gives its place to the next.
#[derive(Debug)]
pub(crate) struct Ticket {
    gate: Arc<Gate>,
    via: Via,
    since: Moment,
    place: Place,
    /// What its body takes of the budget; `None` if it never waited, or its answer has begun.
    share: Option<Share>,
    counted: Counted,
}

#[derive(Debug)]
struct Counted {
    upgraded: bool,
    class: Option<u8>,
    outcome: Outcome,
}

impl Ticket {
    /// Makes room for `bytes` of its body while it waits; `false` if there is none, and then nothing more of it may be read.
    pub(crate) fn make_room(&mut self, bytes: u64) -> bool {
        match &mut self.share {
            Some(share) => share.grow(bytes.saturating_sub(share.bytes())),
            none => {
                *none = self.gate.budget.take(bytes);
                none.is_some()
            }
        }
    }

    /// Waits for its turn. Dropped in the middle it still has its place in the line, until the ticket itself is dropped.
    pub(crate) async fn wait(&mut self, turn: oneshot::Receiver<()>) {
        // The sender is dropped only when it was used, or by this very ticket.
        let _ = turn.await;
        self.place = Place::AtModel;
        self.gate.metrics.held_for(self.gate.clock.now().since(self.since));
    }

    /// It found that the model is not there after all: it goes back to the front of the line.
    pub(crate) fn step_back(&mut self) -> Arrived {
        let now = self.gate.clock.now();
        let inner = &mut *self.gate.inner.lock();
        inner.next += 1;
        let id = WaiterId(inner.next);
        match inner.line.step_back(id, 0) {
            Entry::Wait => {
                self.place = Place::InLine(id);
                Arrived::Waits(inner.wait(id, now))
            }
            Entry::Go | Entry::Full => Arrived::Goes,
        }
    }

    /// The head of an answer is on its way.
    pub(crate) fn answered(&mut self, status: http::StatusCode, outcome: Outcome) {
        self.counted.class = u8::try_from(status.as_u16() / 100).ok();
        self.counted.outcome = outcome;
        // Nothing of the request is kept any more.
        self.share = None;
    }

    /// It became an upgraded connection.
    pub(crate) fn upgraded(&mut self) {
        self.counted.upgraded = true;
        self.gate.inner.lock().meter.upgrade();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let now = self.gate.clock.now();
        {
            let inner = &mut *self.gate.inner.lock();
            if self.counted.upgraded {
                inner.meter.end_upgrade();
            }
            inner.meter.leave(now, self.via);
            inner.vacate(self.place, now);
        }
        let Counted { mut class, mut outcome, .. } = self.counted;
        if outcome == Outcome::ClientGone && self.gate.too_late.is_cancelled() {
            (class, outcome) = (Some(5), Outcome::Refused);
        }
        self.gate.metrics.ended(class, outcome, now.since(self.since));
    }
}

#[cfg(test)]
mod laws;

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(limit: u32, depth: u32) -> Arc<Gate> {
        let metrics = Metrics::register(&prometheus::Registry::new(), &Budget::new(1)).unwrap();
        let (limit, budget) = (ConcurrencyLimit::from_field(limit), Budget::new(100));
        Arc::new(Gate::new(Clock::start(), limit, Some(depth), budget, metrics, CancellationToken::new()))
    }

    fn goes(arrived: &Arrived) -> bool {
        matches!(arrived, Arrived::Goes)
    }

    #[tokio::test]
    async fn whoever_comes_before_the_model_is_ready_waits_in_the_same_line() {
        let gate = gate(1, 1);
        let (mut first, Arrived::Waits(turn)) = gate.arrive(Via::Direct) else { panic!("went") };
        let (_second, Arrived::Waits(_)) = gate.arrive(Via::Direct) else { panic!("went") };
        let (_third, Arrived::Full(full)) = gate.arrive(Via::Direct) else { panic!("has a place") };
        assert_eq!(full.waiting, 2);
        gate.open(true);
        first.wait(turn).await;
        assert_eq!(gate.running(), 1);
    }

    #[tokio::test]
    async fn a_client_that_leaves_frees_its_place_at_once_wherever_it_is() {
        let gate = gate(1, 5);
        gate.open(true);
        let (running, arrived) = gate.arrive(Via::Direct);
        assert!(goes(&arrived));
        let (gone, Arrived::Waits(told_too_late)) = gate.arrive(Via::Direct) else { panic!("went") };
        let (mut last, Arrived::Waits(turn)) = gate.arrive(Via::Activator) else { panic!("went") };
        drop(running);
        // It was told to go, and its client leaves before it hears.
        drop((gone, told_too_late));
        last.wait(turn).await;
        drop(last);
        let (reading, waiting) = gate.read();
        assert_eq!((reading.in_flight, waiting, gate.running()), (0, 0, 0));
        assert_eq!((reading.requests, reading.proxied_requests), (3, 1));
    }

    #[tokio::test]
    async fn a_body_that_waits_takes_room_until_its_answer_begins_or_its_client_leaves() {
        let gate = gate(1, 5);
        let (mut answered, _) = gate.arrive(Via::Direct);
        let (mut gone, _) = gate.arrive(Via::Direct);
        let (mut third, _) = gate.arrive(Via::Direct);
        assert!(answered.make_room(60) && gone.make_room(40));
        assert!(!third.make_room(1), "there is no room for more, and none of it may be read");
        assert!(answered.make_room(60), "it has its room already");
        drop(gone);
        assert!(third.make_room(40));
        answered.answered(http::StatusCode::OK, Outcome::Answered);
        assert_eq!(gate.budget.used(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_sent_away_is_told_when_a_start_is_usually_over() {
        let gate = gate(1, 0);
        let (first, _) = gate.arrive(Via::Direct);
        tokio::time::advance(Duration::from_secs(30)).await;
        gate.open(true);
        gate.open(false);
        drop(first);
        let (_waits, Arrived::Waits(_)) = gate.arrive(Via::Direct) else { panic!("went") };
        tokio::time::advance(Duration::from_secs(10)).await;
        let (_sent_away, Arrived::Full(full)) = gate.arrive(Via::Direct) else { panic!("has a place") };
        assert_eq!(full.retry_after, Duration::from_secs(20));
    }

    #[tokio::test]
    async fn a_new_limit_lets_in_those_who_wait() {
        let gate = gate(1, 5);
        gate.open(true);
        let (_running, _) = gate.arrive(Via::Direct);
        let (mut waiting, Arrived::Waits(turn)) = gate.arrive(Via::Direct) else { panic!("went") };
        gate.limit(ConcurrencyLimit::Unlimited);
        waiting.wait(turn).await;
        assert_eq!(gate.running(), 2);
    }
}
