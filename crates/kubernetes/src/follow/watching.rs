//! One watch: everything there is, then each change, and on from there after whatever cuts it short.
//!
//! kube's watcher lists, watches, lists anew after "410 Gone" and goes on after a broken connection. Here is what it leaves
//! to others: how long to wait between tries, what is said of them, and where what it tells goes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use daemon::Clock;
use futures_util::{Stream, StreamExt as _};
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use parking_lot::Mutex;
use tracing::{info, warn};
use units::Moment;

use crate::objects::{Kept, Sight, Watched};
use crate::world::{Kind, World};

/// The pause after a first failure. Each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause, half as much again by chance included: everything is to heal within 5 s of the API server's return.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// For so long after a failure what is told may have happened while nobody was told.
const CATCHING_UP: Duration = Duration::from_secs(2);
/// A watch that says nothing for so long after a failure, good or bad, stands: quiet ones have nothing to tell.
const STANDS_AFTER: Duration = Duration::from_secs(3);
/// A list that takes longer is asked for anew. An API server gives up on one after a minute, but one that is held up
/// behind a dead connection is never heard of again.
const LONGEST_LIST: Duration = Duration::from_secs(20);

/// So long until a kind that the cluster does not have is asked for again: somebody may install it.
const ABSENT: Duration = Duration::from_secs(10);

/// What all watches have in common.
pub(super) struct Ground<'a> {
    pub(super) world: &'a World,
    pub(super) clock: Clock,
    /// How many watches of each kind fail now: each kind is spoken of once, however many namespaces there are.
    pub(super) failing: Mutex<BTreeMap<Kind, usize>>,
}

/// Keeps one watch. `within` is its namespace, none for everywhere.
pub(super) async fn keep<K: Kept>(
    ground: &Ground<'_>,
    api: Api<Watched<K>>,
    config: watcher::Config,
    within: Option<Arc<str>>,
) -> Infallible {
    let mut one =
        One { ground, what: K::WHAT, within, listed: false, failing: false, failed_at: None, pause: FIRST_PAUSE };
    loop {
        one.listed = false;
        one.run(watcher(api.clone(), config.clone())).await;
    }
}

/// Is there no such kind in this cluster? Only of KServe's may that be so.
fn is_absent<K: Kept>(error: &watcher::Error) -> bool {
    const NOT_FOUND: u16 = 404;
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    K::WHAT == Kind::InferenceServices && matches!(error, kube::Error::Api(status) if status.code == NOT_FOUND)
}

/// Would the same watch be refused for ever? kube's watcher lists anew when a watch that runs is told that its version is
/// gone, but not when the watch is refused from the start: then it asks for that version again and again.
///
/// A server that has too much to do, or none behind it, refuses what it will serve in a while; lists would be more of it.
fn wants_a_new_list(error: &watcher::Error) -> bool {
    const TOO_MANY_REQUESTS: u16 = 429;
    const UNAVAILABLE: u16 = 503;
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => {
            !matches!(status.code, TOO_MANY_REQUESTS | UNAVAILABLE)
        }
        _ => false,
    }
}

/// A watch's state.
struct One<'a> {
    ground: &'a Ground<'a>,
    what: Kind,
    within: Option<Arc<str>>,
    /// Everything has been told, and changes are.
    listed: bool,
    failing: bool,
    failed_at: Option<Moment>,
    pause: Duration,
}

/// A watch can end while it fails, with the last endpoint of its namespace.
impl Drop for One<'_> {
    fn drop(&mut self) {
        self.leave_failing();
    }
}

impl One<'_> {
    /// Runs until it has to be begun anew.
    async fn run<K: Kept>(&mut self, events: impl Stream<Item = watcher::Result<Event<Watched<K>>>>) {
        let mut events = pin!(events);
        let mut all = Vec::new();
        loop {
            let longest = if self.listed { STANDS_AFTER } else { LONGEST_LIST };
            // Nothing is lost when the time is up: an event that is half there stays in the stream.
            let event = if self.listed && !self.failing {
                events.next().await
            } else if let Ok(event) = tokio::time::timeout(longest, events.next()).await {
                event
            } else if self.listed {
                self.stands();
                continue;
            } else {
                self.failed(&"the list takes too long");
                return;
            };
            match event {
                Some(Ok(event)) => self.told(event, &mut all),
                Some(Err(error)) if is_absent::<K>(&error) => {
                    self.absent::<K>();
                    tokio::time::sleep(ABSENT.mul_f64(1.0 + fastrand::f64() / 2.0)).await;
                    return;
                }
                Some(Err(error)) => {
                    self.failed(&error);
                    tokio::time::sleep(self.next_pause()).await;
                    if wants_a_new_list(&error) {
                        return;
                    }
                }
                None => return,
            }
        }
    }

    fn told<K: Kept>(&mut self, event: Event<Watched<K>>, all: &mut Vec<Watched<K>>) {
        let sight = self.sight();
        match event {
            Event::Init => {
                self.listed = false;
                all.clear();
            }
            Event::InitApply(thing) => all.push(thing),
            // It stands once the watch that follows does; a server may list and refuse to be watched.
            Event::InitDone => {
                self.listed = true;
                let sight = Sight { live: false, ..sight };
                self.ground.world.all(self.within.as_ref(), std::mem::take(all), sight);
            }
            Event::Apply(thing) => {
                self.stands();
                self.ground.world.put(thing, sight);
            }
            Event::Delete(thing) => {
                self.stands();
                self.ground.world.gone(&thing);
            }
        }
    }

    /// There is no such kind, so there are none of it, and that is known.
    fn absent<K: Kept>(&mut self) {
        self.stands();
        let sight = self.sight();
        self.ground.world.all::<K>(self.within.as_ref(), Vec::new(), Sight { live: false, ..sight });
    }

    fn sight(&self) -> Sight {
        let now = self.ground.clock.now();
        let is_catching_up = self.failed_at.is_some_and(|failed_at| now.since(failed_at) < CATCHING_UP);
        Sight { now, live: self.listed && !self.failing && !is_catching_up }
    }

    fn failed(&mut self, error: &dyn std::fmt::Display) {
        self.failed_at = Some(self.ground.clock.now());
        if std::mem::replace(&mut self.failing, true) {
            return;
        }
        let mut failing = self.ground.failing.lock();
        let count = failing.entry(self.what).or_default();
        *count += 1;
        if *count == 1 {
            warn!(kind = ?self.what, namespace = self.within.as_deref(), %error, "a watch failed, trying again");
        }
    }

    fn stands(&mut self) {
        self.pause = FIRST_PAUSE;
        if self.failing {
            self.failed_at = Some(self.ground.clock.now());
            self.leave_failing();
        }
    }

    fn leave_failing(&mut self) {
        if !std::mem::replace(&mut self.failing, false) {
            return;
        }
        let mut failing = self.ground.failing.lock();
        if let Some(count) = failing.get_mut(&self.what) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                info!(kind = ?self.what, "watching again");
            }
        }
    }

    /// By chance up to half as long again, so that not all come back at once.
    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause + pause.mul_f64(fastrand::f64() / 2.0)
    }
}
