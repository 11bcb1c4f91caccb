//! One revision at this activator: who waits for it, who is at which replica, what was promised about it.
//!
//! The rules are elsewhere and pure: `breaker::Line` says who may go, `balance::Replicas` where to, the seal whether at
//! all. Here are the lock and the wake-ups. A request is a [`Visit`]; dropping it is the only way to stop counting,
//! whether it waits, is at a replica, or streams its last byte.
//!
//! Who waits takes a share of the budget that all lines of the process have together, and keeps it until its answer begins:
//! so long what was read of its body is in memory.
//!
//! What holds after every call: the line's capacity is [`Replicas::capacity`], so the line lets one go exactly when
//! a replica that may be used has room; and that something is held without a replica has been said at the moment at
//! which it became so, whether by an arrival or because the last replica went.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use balance::{ReplicaId, Replicas};
use breaker::seal::{Ending, Forward, Here, Seal, SealId, Verdict};
use breaker::{Budget, Entry, Limits, Line, Meter, Pace, Reading, Share, Via, WaiterId};
use daemon::Clock;
use http::HeaderValue;
use parking_lot::{Mutex, MutexGuard};
use platform::QueueLimits;
use tokio::sync::{Notify, oneshot};
use units::{ConcurrencyLimit, Moment, RevisionKey};

use crate::metrics::RevisionMetrics;
use crate::replica::Replica;
use crate::tally::Tally;
use crate::visit::Visit;
use crate::wakes::Wakes;

mod inner;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

/// What a request takes while it waits, beside its body: its head, its connection's buffers, its task. Measured; see
/// `docs/performance.md`.
pub(crate) const HELD_REQUEST_BYTES: u64 = 28 << 10;

/// What all holds of an activator have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) clock: Clock,
    pub(crate) wakes: Wakes,
    /// What may be held, by all of them together.
    pub(crate) budget: Budget,
    /// Nothing is forwarded before, because an activator that ran here may have made a promise; see [`Seal::new`].
    pub(crate) hold_until: Option<Moment>,
}

/// One revision at this activator.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) key: RevisionKey,
    pub(crate) clock: Clock,
    wakes: Wakes,
    budget: Budget,
    pub(crate) metrics: RevisionMetrics,
    /// Its name, as answers carry it.
    pub(crate) name_header: HeaderValue,
    /// Told when the replicas should be looked at again: one refused a connection, or a promise was made or ended.
    pub(crate) attention: Notify,
    next_replica: AtomicU64,
    /// What is counted for comparing it; `None` where its endpoint has nothing to compare it with.
    pub(crate) tally: ArcSwapOption<Tally>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    line: Line,
    meter: Meter,
    pace: Pace,
    seal: Seal,
    replicas: Replicas,
    /// Every replica there is, usable or not, oldest first.
    candidates: Vec<Candidate>,
    waiters: HashMap<WaiterId, Waiter>,
    /// Of those, copies that may wake nobody: while there is no replica none of them waits.
    quiet: BTreeSet<WaiterId>,
    next_waiter: u64,
    refusal: Option<Refusal>,
    gone: bool,
    /// Whether it was so, when last looked at, that something is held without a replica.
    wanting: bool,
}

/// A replica, and since when it is known to answer.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) replica: Arc<Replica>,
    /// When the newest probe that it answered began; `None`: it is not known to be ready.
    pub(crate) probe_begun: Option<Moment>,
}

#[derive(Debug)]
struct Waiter {
    granted: oneshot::Sender<Result<Arc<Replica>, Refused>>,
    request_id: HeaderValue,
    arrived: Moment,
}

/// What the autoscaler said of a revision that cannot be woken.
#[derive(Clone, Debug)]
struct Refusal {
    start_failed: bool,
    detail: Arc<str>,
    until: Moment,
}

/// Why a request was not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The line is full.
    QueueFull { retry_after: Duration },
    /// The budget of the whole process is.
    ActivatorFull { retry_after: Duration },
    /// It waited as long as it may. `without_replica`: there was none, rather than none with room.
    WaitedTooLong { waited: Duration, retry_after: Duration, without_replica: bool },
    /// The revision's start failed; `detail` is the last reason.
    StartFailed { detail: Arc<str>, retry_after: Duration },
    /// It cannot be woken for another reason.
    CannotWake { detail: Arc<str>, retry_after: Duration },
    /// The revision is gone, or was never there.
    Missing,
    /// It has no replica, and this is a copy that is not to wake it.
    Asleep,
}

/// Something is held, and no replica can take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) held: u32,
    pub(crate) oldest_wait: Duration,
    /// `x-request-id` of the oldest.
    pub(crate) request_id: HeaderValue,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A client: what it takes while it waits is the budget's, and it wakes the revision.
    Clients,
    /// A copy for a shadow: another budget pays for it, and it may wake the revision or not.
    Copy { wakes: bool },
}

impl Whose {
    pub(crate) fn wakes(self) -> bool {
        self != Self::Copy { wakes: false }
    }
}

/// What became of a request that arrived.
pub(crate) enum Place {
    /// At this replica.
    At(Arc<Replica>),
    /// In the line.
    Waiting { id: WaiterId, granted: oneshot::Receiver<Result<Arc<Replica>, Refused>> },
}

impl Hold {
    /// Nothing here yet.
    pub(crate) fn new(
        key: RevisionKey,
        common: Common,
        metrics: RevisionMetrics,
        limit: ConcurrencyLimit,
        queue: QueueLimits,
    ) -> Self {
        let Common { clock, wakes, budget, hold_until } = common;
        let replicas = Replicas::new(limit);
        let inner = Inner {
            line: Line::new(replicas.capacity(clock.now()), limits(queue)),
            meter: Meter::new(clock.now()),
            pace: Pace::unknown(),
            seal: Seal::new(hold_until),
            replicas,
            candidates: Vec::new(),
            waiters: HashMap::new(),
            quiet: BTreeSet::new(),
            next_waiter: 0,
            refusal: None,
            gone: false,
            wanting: false,
        };
        let name_header = HeaderValue::from_str(&key.name).unwrap_or_else(|_| HeaderValue::from_static(""));
        Self {
            key,
            clock,
            wakes,
            budget,
            metrics,
            name_header,
            attention: Notify::new(),
            next_replica: AtomicU64::new(1),
            tally: ArcSwapOption::empty(),
            inner: Mutex::new(inner),
        }
    }

    /// A number for a replica, never given twice: the revision may go and come again while an old one still streams.
    pub(crate) fn number_replica(&self) -> ReplicaId {
        ReplicaId(self.next_replica.fetch_add(1, Ordering::Relaxed))
    }

    /// Ends a change: publishes what is held, and says at once if a replica has come to be missing. Who comes later finds
    /// it said, and it is repeated; so a thousand arrivals are one message.
    fn changed(&self, mut inner: MutexGuard<'_, Inner>) {
        inner.hush();
        self.metrics.held.set(i64::from(inner.line.waiting()));
        let wanting = inner.wants();
        let is_new = wanting && !inner.wanting;
        if wanting != inner.wanting {
            inner.turned(self.clock.now(), wanting);
        }
        drop(inner);
        if is_new {
            self.wakes.poke(&self.key);
        }
    }

    /// From now on these limits hold, for those who come.
    pub(crate) fn set_limits(&self, limit: ConcurrencyLimit, queue: QueueLimits) {
        let mut inner = self.inner.lock();
        inner.line.set_limits(limits(queue));
        inner.replicas.set_limit(limit);
        inner.recount(self.clock.now());
        self.changed(inner);
    }

    /// Is there a replica that may be used, full or not?
    pub(crate) fn has_replica(&self) -> bool {
        self.inner.lock().has_usable()
    }

    /// A request arrives: it goes to a replica, or waits, or is refused. It counts from here on. `unasked`: so many bytes of
    /// its body will be in memory while it waits, whether they are read or not.
    pub(crate) fn arrive(self: &Arc<Self>, request_id: &HeaderValue, unasked: u64) -> Result<Visit, Refused> {
        self.let_in(request_id, unasked, Whose::Clients)
    }

    /// The same of a copy for a shadow, whose memory is paid for by another budget. One that does not wake waits for a
    /// replica that is there, and for no other.
    pub(crate) fn arrive_copy(self: &Arc<Self>, request_id: &HeaderValue, wakes: bool) -> Result<Visit, Refused> {
        self.let_in(request_id, 0, Whose::Copy { wakes })
    }

    fn let_in(self: &Arc<Self>, request_id: &HeaderValue, unasked: u64, whose: Whose) -> Result<Visit, Refused> {
        let now = self.clock.now();
        let mut inner = self.inner.lock();
        let nobody_there = !inner.has_usable();
        if nobody_there && !whose.wakes() {
            return Err(Refused::Asleep);
        }
        inner.may_arrive(now)?;
        let id = WaiterId(inner.next_waiter);
        inner.next_waiter += 1;
        let place = match inner.line.arrive(id, unasked) {
            Entry::Go => inner.place(now, id, request_id, now),
            Entry::Wait => inner.wait(id, request_id, now),
            Entry::Full => return Err(Refused::QueueFull { retry_after: inner.come_back(now) }),
        };
        let held = match (&place, whose) {
            (Place::At(_), _) | (_, Whose::Copy { .. }) => None,
            (Place::Waiting { .. }, Whose::Clients) => {
                let Some(share) = self.budget.take(HELD_REQUEST_BYTES + unasked) else {
                    inner.waiters.remove(&id);
                    inner.line.give_up(id);
                    return Err(Refused::ActivatorFull { retry_after: inner.come_back(now) });
                };
                Some((share, unasked))
            }
        };
        if let Place::Waiting { id, .. } = &place
            && !whose.wakes()
        {
            inner.quiet.insert(*id);
        }
        inner.meter.arrive(now, Via::Direct);
        self.metrics.in_flight.inc();
        self.changed(inner);
        Ok(Visit::new(Arc::clone(self), place, now, nobody_there, whose, held))
    }

    /// A replica refused the connection, so the request goes before everyone else to another one. `bytes` of its body are
    /// kept.
    pub(crate) fn step_back(
        &self,
        replica: &Replica,
        request_id: &HeaderValue,
        arrived: Moment,
        bytes: u64,
        whose: Whose,
    ) -> Place {
        let now = self.clock.now();
        let mut inner = self.inner.lock();
        replica.refused.store(true, Ordering::Release);
        inner.replicas.set_aside(replica.id, now);
        // The line hears of the slot that went with it below.
        let _ = inner.replicas.done(replica.id, now);
        let id = WaiterId(inner.next_waiter);
        inner.next_waiter += 1;
        inner.recount(now);
        let place = match inner.line.step_back(id, bytes) {
            Entry::Go => inner.place(now, id, request_id, arrived),
            Entry::Wait | Entry::Full => inner.wait(id, request_id, arrived),
        };
        if !whose.wakes() && matches!(place, Place::Waiting { .. }) {
            inner.quiet.insert(id);
        }
        self.changed(inner);
        self.attention.notify_one();
        place
    }

    /// The replica took the connection: refusals before it are forgotten.
    pub(crate) fn answered(&self, replica: &Replica) {
        // Nearly always there is nothing to forget, and this is on every request's way.
        if !replica.refused.load(Ordering::Acquire) {
            return;
        }
        let mut inner = self.inner.lock();
        replica.refused.store(false, Ordering::Release);
        inner.replicas.answered(replica.id);
        // Its slots are back.
        inner.recount(self.clock.now());
        self.changed(inner);
    }

    /// A request is over, whatever became of it.
    pub(crate) fn leave(&self, place: Option<&mut Place>) {
        let now = self.clock.now();
        let mut inner = self.inner.lock();
        match place {
            Some(Place::At(replica)) => inner.release(now, replica.id),
            Some(Place::Waiting { id, granted }) => {
                inner.waiters.remove(id);
                inner.quiet.remove(id);
                // It does not wait any more: it was told to go, and that stands in the channel, or it was dismissed.
                if !inner.line.give_up(*id)
                    && let Ok(Ok(replica)) = granted.try_recv()
                {
                    inner.release(now, replica.id);
                }
            }
            None => {}
        }
        inner.meter.leave(now, Via::Direct);
        self.metrics.in_flight.dec();
        self.changed(inner);
    }

    /// So many more bytes of the body of one that waits will be kept. `false`: its line has no room for them.
    pub(crate) fn hold_bytes(&self, id: WaiterId, more: u64) -> bool {
        self.inner.lock().line.hold_bytes(id, more)
    }

    /// For one that was accepted and comes to wait only now: a share, if there is one.
    pub(crate) fn late_share(&self) -> Option<Share> {
        self.budget.take(HELD_REQUEST_BYTES)
    }

    /// What is said to one that has waited in vain for so long.
    pub(crate) fn waited_too_long(&self, waited: Duration) -> Refused {
        let now = self.clock.now();
        let inner = self.inner.lock();
        Refused::WaitedTooLong { waited, retry_after: inner.come_back(now), without_replica: !inner.has_usable() }
    }

    /// These replicas there are, and since when each is known to answer. Who waits goes where there is room now.
    pub(crate) fn offer(&self, candidates: Vec<Candidate>) {
        let mut inner = self.inner.lock();
        inner.candidates = candidates;
        inner.settle(self.clock.now());
        self.changed(inner);
    }

    /// When [`Hold::offer`] would find something new, with the same replicas; `None`: not by time alone.
    pub(crate) fn next_look(&self) -> Option<Moment> {
        let now = self.clock.now();
        let inner = self.inner.lock();
        let forward = inner.seal.may_forward(now);
        let later = |candidate: &Candidate| forward.counts_from(candidate.replica.seen).filter(|from| now < *from);
        let counts_again = inner.candidates.iter().filter_map(later).min();
        [inner.seal.holds_until(now), inner.replicas.next_return(now), counts_again].into_iter().flatten().min()
    }

    /// Whether a probe of this replica that began then is enough for it to be used. While a newer one would be too early
    /// to say anything, any is.
    pub(crate) fn believes(&self, replica: &Replica, probe_begun: Moment) -> bool {
        let now = self.clock.now();
        match self.inner.lock().seal.may_forward(now) {
            Forward::Hold => true,
            forward => {
                let is_too_early = forward.counts_from(replica.seen).is_some_and(|from| now < from);
                is_too_early || forward.allows(replica.seen, Some(probe_begun))
            }
        }
    }

    /// What is held without a replica that can take it. While there is something, it is said to every autoscaler.
    pub(crate) fn want(&self) -> Option<Want> {
        let now = self.clock.now();
        let inner = self.inner.lock();
        let first = inner.line.first().and_then(|id| inner.waiters.get(&id))?;
        inner.wants().then(|| Want {
            held: inner.line.waiting(),
            oldest_wait: now.since(first.arrived),
            request_id: first.request_id.clone(),
        })
    }

    /// What was counted until now, and how many of those in flight are held.
    pub(crate) fn reading(&self) -> (Reading, u32) {
        let mut inner = self.inner.lock();
        let reading = inner.meter.read(self.clock.now());
        (reading, inner.line.waiting().min(reading.in_flight))
    }

    /// Whether nothing would be lost with it: no request is here, and no promise is open.
    pub(crate) fn is_idle(&self) -> bool {
        let inner = self.inner.lock();
        inner.line.in_flight() == 0 && inner.seal.holds_until(self.clock.now()).is_none()
    }

    /// A leader asks for a promise to forward nothing.
    pub(crate) fn seal_asked(&self, id: SealId, ttl: Duration, highest_epoch: u64) -> Verdict {
        let now = self.clock.now();
        let mut inner = self.inner.lock();
        let here = Here { held: inner.line.waiting() as usize, forwarded: inner.replicas.total_in_flight() as usize };
        let verdict = inner.seal.asked(now, id, ttl, highest_epoch, here);
        inner.settle(now);
        self.changed(inner);
        self.attention.notify_one();
        verdict
    }

    /// A leader tells how a seal ended.
    pub(crate) fn seal_ended(&self, id: SealId, ending: Ending) {
        let now = self.clock.now();
        let mut inner = self.inner.lock();
        inner.seal.ended(now, id, ending);
        inner.settle(now);
        self.changed(inner);
        self.attention.notify_one();
    }

    /// The autoscaler says that this revision cannot be woken for a while. Who waits is refused, with the reason.
    pub(crate) fn refuse(&self, start_failed: bool, detail: Arc<str>, retry_after: Duration) {
        let now = self.clock.now();
        let mut inner = self.inner.lock();
        let refusal = Refusal { start_failed, detail, until: now.plus(retry_after) };
        if !inner.has_usable() {
            inner.dismiss(&refusal.said(now));
        }
        inner.refusal = Some(refusal);
        self.changed(inner);
    }

    /// It can be woken again.
    pub(crate) fn clear_refusal(&self) {
        self.inner.lock().refusal = None;
    }

    /// Whether there is a workload to wake. Without one whoever waits is refused, and so is whoever comes.
    pub(crate) fn set_gone(&self, gone: bool) {
        let mut inner = self.inner.lock();
        inner.gone = gone;
        if gone {
            inner.dismiss(&Refused::Missing);
        }
        self.changed(inner);
    }
}

impl Refusal {
    fn said(&self, now: Moment) -> Refused {
        let (detail, retry_after) = (Arc::clone(&self.detail), self.until.since(now));
        match self.start_failed {
            true => Refused::StartFailed { detail, retry_after },
            false => Refused::CannotWake { detail, retry_after },
        }
    }
}

fn limits(queue: QueueLimits) -> Limits {
    Limits { waiting: queue.max_requests.get(), in_flight: None, bytes: queue.max_bytes }
}
