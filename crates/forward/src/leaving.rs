//! Leaving by classes: what is under way, and how long each kind of it is given.
//!
//! Requests that end by themselves, streams that go on, and upgraded connections cannot share one limit: what is long
//! enough for a stream keeps a stuck request for as long, and what is right for a request cuts every stream. So each
//! connection knows how many of each it carries, and each class has a limit of its own.
//!
//! A class is known by what was sent: a request is *unary* until the head of its answer was sent, and for good if that
//! head says how long the answer is; else it is *streaming* from then on (server-sent events, chunks, gRPC); *upgraded* is
//! a 101. When the limit of a class comes, who has no head yet is answered that it was too late, and the connections that
//! carry nothing but what is over its limit are closed. Many share one HTTP/2 connection: it lives until the last limit
//! of what is on it.
//!
//! Not here: when leaving begins, and the pause before the ports are closed (the programs).

use std::collections::HashMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::upgrade::LooseEnds;

/// How often it is looked at what is left, while somebody waits for its end.
const LOOK: Duration = Duration::from_millis(10);

/// How long those who are too late are given to be told so, before their connection is closed.
const FAREWELL: Duration = Duration::from_millis(200);

/// What a drain is given beyond its last limit, for closing what was cut. Clients that do not read are not waited for.
const CLOSING: Duration = Duration::from_secs(2);

/// What a request has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Its answer has not begun, or says how long it is.
    Unary,
    /// Its answer has begun, and nobody knows how long it is.
    Streaming,
    /// It is no HTTP any more.
    Upgraded,
}

impl Class {
    /// Every one, in the order in which they usually end.
    pub const ALL: [Self; 3] = [Self::Unary, Self::Streaming, Self::Upgraded];

    /// The word in logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Streaming => "streaming",
            Self::Upgraded => "upgraded",
        }
    }
}

/// One for each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByClass<T> {
    /// Of requests with one answer.
    pub unary: T,
    /// Of streams.
    pub streaming: T,
    /// Of upgraded connections.
    pub upgraded: T,
}

impl<T> ByClass<T> {
    /// The same for all.
    pub fn all(value: T) -> Self
    where
        T: Clone,
    {
        Self { unary: value.clone(), streaming: value.clone(), upgraded: value }
    }

    /// Each made into another.
    pub fn map<U>(self, mut make: impl FnMut(T) -> U) -> ByClass<U> {
        ByClass { unary: make(self.unary), streaming: make(self.streaming), upgraded: make(self.upgraded) }
    }
}

impl<T: Ord + Copy> ByClass<T> {
    /// The greatest.
    pub fn most(&self) -> T {
        self.unary.max(self.streaming).max(self.upgraded)
    }
}

impl ByClass<usize> {
    /// All together.
    pub fn sum(&self) -> usize {
        self.unary + self.streaming + self.upgraded
    }
}

impl<T> Index<Class> for ByClass<T> {
    type Output = T;

    fn index(&self, class: Class) -> &T {
        match class {
            Class::Unary => &self.unary,
            Class::Streaming => &self.streaming,
            Class::Upgraded => &self.upgraded,
        }
    }
}

impl<T> IndexMut<Class> for ByClass<T> {
    fn index_mut(&mut self, class: Class) -> &mut T {
        match class {
            Class::Unary => &mut self.unary,
            Class::Streaming => &mut self.streaming,
            Class::Upgraded => &mut self.upgraded,
        }
    }
}

/// How a class ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// From the begin of the drain to the last of them.
    pub took: Duration,
    /// Of those, how many were cut at their limit, or told that they are too late.
    pub cut: usize,
}

/// How far the leaving has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// What is asked is answered, with a request to go elsewhere.
    Leaving,
    /// Idle connections are closed, the others with their answer.
    Draining,
}

/// What connections wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) phase: Phase,
    overdue: u8,
}

/// Shared by the connections of the servers that leave together.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// Where each answer looks; a bit of [`LEAVING`] and one for each class.
    flags: AtomicU8,
    stage: watch::Sender<Stage>,
    loads: Mutex<HashMap<u64, Arc<Load>>>,
    next: AtomicU64,
    cut: ByClass<AtomicUsize>,
    too_late: CancellationToken,
}

const LEAVING: u8 = 0x80;

fn bit(class: Class) -> u8 {
    1 << class as u8
}

impl Default for Leaving {
    fn default() -> Self {
        Self {
            flags: AtomicU8::new(0),
            stage: watch::Sender::new(Stage { phase: Phase::Serving, overdue: 0 }),
            loads: Mutex::default(),
            next: AtomicU64::new(0),
            cut: ByClass::default(),
            too_late: CancellationToken::new(),
        }
    }
}

/// What one connection carries.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Requests whose answer has not ended.
    busy: AtomicU32,
    /// Of those, with an answer that streams.
    streaming: AtomicU32,
    /// It is closed with what is on it, which was counted.
    cut: AtomicBool,
}

impl Load {
    pub(crate) fn begin(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn streams(&self) {
        self.streaming.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, streamed: bool) {
        if streamed {
            self.streaming.fetch_sub(1, Ordering::Relaxed);
        }
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_busy(&self) -> bool {
        0 < self.busy.load(Ordering::Relaxed)
    }

    fn by_class(&self) -> ByClass<usize> {
        let (busy, streaming) = (self.busy.load(Ordering::Relaxed), self.streaming.load(Ordering::Relaxed));
        ByClass { unary: busy.saturating_sub(streaming) as usize, streaming: streaming as usize, upgraded: 0 }
    }
}

/// A connection among those that are counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    leaving: Arc<Leaving>,
    number: u64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.leaving.loads.lock().remove(&self.number);
    }
}

impl Leaving {
    /// A connection more.
    pub(crate) fn enter(self: &Arc<Self>) -> (Arc<Load>, Counted) {
        let (load, number) = (Arc::new(Load::default()), self.next.fetch_add(1, Ordering::Relaxed));
        self.loads.lock().insert(number, Arc::clone(&load));
        (load, Counted { leaving: Arc::clone(self), number })
    }

    /// Goes on to a phase. Never back.
    pub(crate) fn reach(&self, phase: Phase) {
        self.flags.fetch_or(LEAVING, Ordering::Relaxed);
        self.stage.send_if_modified(|stage| {
            let goes_on = stage.phase < phase;
            stage.phase = stage.phase.max(phase);
            goes_on
        });
    }

    pub(crate) fn follow(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Are clients asked to go elsewhere?
    pub(crate) fn has_begun(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & LEAVING != 0
    }

    /// Has the limit of a class come?
    pub(crate) fn is_over(&self, class: Class) -> bool {
        self.flags.load(Ordering::Relaxed) & bit(class) != 0
    }

    pub(crate) fn too_late(&self) -> &CancellationToken {
        &self.too_late
    }

    pub(crate) fn count_cut(&self, class: Class, number: usize) {
        self.cut[class].fetch_add(number, Ordering::Relaxed);
    }

    fn cut(&self) -> ByClass<usize> {
        let read = |class| self.cut[class].load(Ordering::Relaxed);
        ByClass { unary: read(Class::Unary), streaming: read(Class::Streaming), upgraded: read(Class::Upgraded) }
    }

    fn connections(&self) -> usize {
        self.loads.lock().len()
    }

    /// Is there a connection that carries nothing, and so may be about to ask for something?
    fn any_idle(&self) -> bool {
        self.loads.lock().values().any(|load| !load.is_busy())
    }

    /// What all connections carry.
    fn by_class(&self) -> ByClass<usize> {
        let mut all = ByClass::default();
        for load in self.loads.lock().values().filter(|load| !load.cut.load(Ordering::Relaxed)) {
            let of_one = load.by_class();
            all.unary += of_one.unary;
            all.streaming += of_one.streaming;
        }
        all
    }

    fn end(&self, class: Class) {
        self.flags.fetch_or(bit(class), Ordering::Relaxed);
        self.stage.send_modify(|stage| stage.overdue |= bit(class));
    }

    /// Counts as cut what a connection carries, once.
    fn count_out(&self, load: &Load) {
        if !load.cut.swap(true, Ordering::Relaxed) {
            let left = load.by_class();
            self.count_cut(Class::Unary, left.unary);
            self.count_cut(Class::Streaming, left.streaming);
        }
    }

    /// Returns when a connection carries nothing any more but what is over its limit; that counts as cut then. An idle
    /// one is treated as one that is about to ask for something: it may stay as long as that.
    ///
    /// `tell` is called when a limit has come, for those who have to be woken to notice.
    pub(crate) async fn overdue(&self, stage: &mut watch::Receiver<Stage>, load: &Load, tell: impl Fn()) {
        let mut known = 0;
        loop {
            let Ok(overdue) = stage.wait_for(|stage| stage.overdue != known).await.map(|stage| stage.overdue) else {
                // Everything is going, and cuts its connections itself.
                return std::future::pending().await;
            };
            known = overdue;
            tell();
            sleep(FAREWELL).await;
            while stage.borrow().overdue == known {
                if only_overdue(load.by_class(), known) {
                    return self.count_out(load);
                }
                sleep(LOOK * 5).await;
            }
        }
    }
}

fn only_overdue(left: ByClass<usize>, overdue: u8) -> bool {
    let is_over = |class| overdue & bit(class) != 0;
    let unary_may_go = is_over(Class::Unary) || (left.unary == 0 && 0 < left.streaming);
    unary_may_go && (is_over(Class::Streaming) || left.streaming == 0)
}

impl LooseEnds {
    /// Asks every client to go elsewhere, with each answer from now on.
    pub fn leave(&self) {
        self.leaving().reach(Phase::Leaving);
    }

    /// What is under way now: here and waiting, at a replica, streaming, upgraded.
    pub fn in_flight(&self) -> ByClass<usize> {
        ByClass { upgraded: self.tunnels(), ..self.leaving().by_class() }
    }

    /// Done once the limit of unary requests has come: what still waits is to be refused as not begun.
    pub fn too_late(&self) -> &CancellationToken {
        self.leaving().too_late()
    }

    /// How many were cut so far.
    pub fn were_cut(&self) -> ByClass<usize> {
        self.leaving().cut()
    }

    /// Ends idle connections now, the others with their answer, and each class at its limit, counted from now. Returns
    /// when nothing is left. `ended` hears of each class once, when there is none of it any more and nothing is left that may
    /// become one of it: what is unary now may stream for as long as streams may, and is cut with them.
    ///
    /// Bodies that nobody wants are read as long as unary requests may go on.
    pub async fn drain(&self, limits: ByClass<Duration>, mut ended: impl FnMut(Class, Ended)) -> ByClass<usize> {
        let (leaving, began) = (self.leaving(), Instant::now());
        leaving.reach(Phase::Draining);
        let mut open = Class::ALL.to_vec();
        let mut gone_at = ByClass::<Option<Duration>>::all(None);
        loop {
            let (there, took) = (self.in_flight(), began.elapsed());
            // A request begins as a unary one, and becomes what it is with its answer.
            let mut more_may_come = leaving.any_idle();
            open.retain(|class| {
                if there[*class] != 0 {
                    gone_at[*class] = None;
                    more_may_come |= *class == Class::Unary;
                    return true;
                }
                let took = *gone_at[*class].get_or_insert(took);
                if !more_may_come {
                    ended(*class, Ended { took, cut: leaving.cut()[*class] });
                }
                more_may_come
            });
            let nothing_unwanted = self.is_empty() || limits.unary <= took;
            if leaving.connections() == 0 && self.tunnels() == 0 && nothing_unwanted {
                break;
            }
            for class in Class::ALL.into_iter().filter(|class| limits[*class] <= took && !leaving.is_over(*class)) {
                if class == Class::Unary {
                    // Before the rest: what was never begun is told so, and not that it may have been.
                    leaving.too_late().cancel();
                }
                leaving.end(class);
                if class == Class::Upgraded {
                    leaving.count_cut(class, self.cut_tunnels());
                }
            }
            if limits.most() + CLOSING <= took {
                break;
            }
            sleep(LOOK).await;
        }
        for load in leaving.loads.lock().values() {
            leaving.count_out(load);
        }
        self.cut();
        for class in open {
            ended(class, Ended { took: gone_at[class].unwrap_or_else(|| began.elapsed()), cut: leaving.cut()[class] });
        }
        leaving.cut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn left(unary: usize, streaming: usize) -> ByClass<usize> {
        ByClass { unary, streaming, upgraded: 0 }
    }

    #[test]
    fn a_connection_goes_when_all_that_is_on_it_is_over_its_limit() {
        let (unary, streaming) = (bit(Class::Unary), bit(Class::Streaming));
        assert!(only_overdue(left(2, 0), unary) && !only_overdue(left(2, 0), streaming));
        assert!(!only_overdue(left(1, 1), unary) && !only_overdue(left(1, 1), streaming));
        assert!(only_overdue(left(1, 1), unary | streaming));
        assert!(only_overdue(left(0, 1), streaming) && !only_overdue(left(0, 1), unary));
        // One that is idle may be about to ask.
        assert!(only_overdue(left(0, 0), unary) && !only_overdue(left(0, 0), streaming));
    }

    #[tokio::test(start_paused = true)]
    async fn each_class_is_given_its_own_time_and_what_is_cut_is_counted() {
        let ends = LooseEnds::new();
        let leaving = Arc::clone(ends.leaving());
        let carry = |streams: bool| {
            let (load, counted) = leaving.enter();
            load.begin();
            if streams {
                load.streams();
            }
            (load, counted)
        };
        let connection = async |(load, counted): (Arc<Load>, Counted)| {
            leaving.overdue(&mut leaving.follow(), &load, || {}).await;
            drop(counted);
        };
        let (quick, stuck, stream, endless) = (carry(false), carry(false), carry(true), carry(true));
        let limits = ByClass { unary: 5 * SECOND, streaming: 60 * SECOND, upgraded: 30 * SECOND };
        let mut told = Vec::new();
        let ends_in_time = async |(load, counted): (Arc<Load>, Counted), after, streamed| {
            sleep(after).await;
            load.end(streamed);
            drop(counted);
        };
        tokio::join!(
            async {
                let cut =
                    ends.drain(limits, |class, Ended { took, cut }| told.push((class, took.as_secs(), cut))).await;
                assert_eq!(cut, ByClass { unary: 1, streaming: 1, upgraded: 0 });
            },
            ends_in_time(quick, SECOND, false),
            connection(stuck),
            ends_in_time(stream, 40 * SECOND, true),
            connection(endless),
        );
        assert_eq!(told, [(Class::Unary, 5, 1), (Class::Upgraded, 0, 0), (Class::Streaming, 60, 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_to_stream_while_we_leave_is_cut_and_counted_as_a_stream() {
        let ends = LooseEnds::new();
        let leaving = Arc::clone(ends.leaving());
        let (load, counted) = leaving.enter();
        load.begin();
        let mut told = Vec::new();
        let limits = ByClass { unary: 5 * SECOND, streaming: 60 * SECOND, upgraded: 30 * SECOND };
        tokio::join!(ends.drain(limits, |class, Ended { took, cut }| told.push((class, took.as_secs(), cut))), async {
            sleep(2 * SECOND).await;
            load.streams();
            leaving.overdue(&mut leaving.follow(), &load, || {}).await;
            drop(counted);
        },);
        assert_eq!(told, [(Class::Unary, 2, 0), (Class::Upgraded, 0, 0), (Class::Streaming, 60, 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_go_is_not_waited_for() {
        let ends = LooseEnds::new();
        let (load, _counted) = ends.leaving().enter();
        load.begin();
        let began = Instant::now();
        let cut = ends.drain(ByClass::all(SECOND), |_, _| {}).await;
        assert_eq!((cut.unary, began.elapsed().as_secs()), (1, 3));
        assert!(ends.too_late().is_cancelled());
    }
}
