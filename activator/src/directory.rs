//! What this activator knows: endpoints, their splits, and a hold for each revision.
//!
//! Reading is one load of an immutable table; writing happens only when the catalogue changes, in one task.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use daemon::{Clock, Listener};
use dashmap::DashMap;
use platform::{Catalogue, Endpoint, Event, Revision};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use units::{EndpointKey, Incarnation, Moment, Percent, RevisionKey};

use crate::config::Config;
use crate::fleet::Fleet;
use crate::hold::{Common, Hold};
use crate::metrics::Metrics;
use crate::replica::UpstreamSettings;
use crate::routes::{Found, Routes};
use crate::served::Served;
use crate::shadow::{Shadow, Shadows};
use crate::wakes::Wakes;

/// Between attempts to open an own port that another still has, and looks at revisions that are gone but still stream.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// Then it is not merely the door before that is still closing.
const TRIES_BEFORE_AN_ERROR: u32 = 10;

/// What this activator knows.
pub(crate) struct Directory {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) incarnation: Incarnation,
    pub(crate) wakes: Wakes,
    pub(crate) metrics: Metrics,
    pub(crate) shadows: Shadows,
    started: Moment,
    /// Nothing is forwarded before it, to any revision; see [`breaker::Seal::new`].
    hold_until: Option<Moment>,
    highest_epoch: AtomicU64,
    /// Streams to an autoscaler that says that it leads.
    leaders: AtomicU32,
    routes: ArcSwap<Routes<Arc<Served>>>,
    /// Of each revision that an endpoint names, that the catalogue has, or that a request is still at. One and the same
    /// for all that time, in whatever order those come and go.
    holds: DashMap<RevisionKey, Arc<Hold>>,
    /// Which generation of each endpoint is in force here.
    generations: watch::Sender<Vec<(EndpointKey, u64)>>,
    /// Whether every endpoint that exists is known.
    synced: watch::Sender<bool>,
    /// It wants out of every path.
    pub(crate) leaving: CancellationToken,
    /// The leader says that no path leads here any more.
    out: CancellationToken,
}

/// How long a leader is given to take an activator out of the paths. One that is away cannot, and then what fails is the
/// probe of the pod, which does the same.
const OUT_WITHIN: Duration = Duration::from_secs(5);

impl Directory {
    pub(crate) fn new(config: Config, clock: Clock, metrics: Metrics, hold_until: Option<Moment>) -> Self {
        let routes = Routes::new([], &config.cluster_domain, config.alone_answers_every_host, false);
        Self {
            shadows: Shadows::new(&config.budget, metrics.clone()),
            config,
            clock,
            incarnation: Incarnation(fastrand::u64(1..)),
            wakes: Wakes::new(),
            metrics,
            started: clock.now(),
            hold_until,
            highest_epoch: AtomicU64::new(0),
            leaders: AtomicU32::new(0),
            routes: ArcSwap::from_pointee(routes),
            holds: DashMap::new(),
            generations: watch::Sender::new(Vec::new()),
            synced: watch::Sender::new(false),
            leaving: CancellationToken::new(),
            out: CancellationToken::new(),
        }
    }

    /// Wants out of every path, and says so to every autoscaler.
    pub(crate) fn leave(&self) {
        self.leaving.cancel();
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// No path leads here any more.
    pub(crate) fn is_out(&self) {
        self.out.cancel();
    }

    /// Returns once nobody can be on the way here: out of every path, and the quiet period over.
    pub(crate) async fn nobody_comes(&self) {
        let quiet = self.config.quiet;
        if quiet.is_zero() {
            return;
        }
        if tokio::time::timeout(OUT_WITHIN, self.out.cancelled()).await.is_err() {
            warn!(waited = ?OUT_WITHIN, "no leader says that this activator is out of every path, leaving all the same");
        }
        tokio::time::sleep(quiet).await;
    }

    pub(crate) fn synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    /// Where a Host leads.
    pub(crate) fn find(&self, authority: Option<&str>) -> Found<Arc<Served>> {
        self.routes.load().find(authority)
    }

    /// The endpoint of this name.
    pub(crate) fn by_key(&self, key: &EndpointKey) -> Option<Arc<Served>> {
        self.routes.load().by_key(key).map(Arc::clone)
    }

    /// Is this Host a name of another endpoint?
    pub(crate) fn belongs_to_another(&self, authority: &str, served: &Arc<Served>) -> bool {
        self.routes.load().belongs_to_another(authority, served)
    }

    pub(crate) fn hold(&self, revision: &RevisionKey) -> Option<Arc<Hold>> {
        self.holds.get(revision).map(|hold| Arc::clone(&hold))
    }

    pub(crate) fn holds(&self) -> Vec<Arc<Hold>> {
        self.holds.iter().map(|hold| Arc::clone(&hold)).collect()
    }

    /// The highest epoch heard of on any stream.
    pub(crate) fn highest_epoch(&self) -> u64 {
        self.highest_epoch.load(Ordering::Acquire)
    }

    pub(crate) fn saw_epoch(&self, epoch: u64) {
        self.highest_epoch.fetch_max(epoch, Ordering::AcqRel);
    }

    /// Is an autoscaler connected that leads, so that what has no replica can be woken?
    pub(crate) fn is_led(&self) -> bool {
        self.leaders.load(Ordering::Acquire) != 0
    }

    /// One that is connected leads from now on, or does not any more.
    pub(crate) fn leads(&self, leads: bool) {
        match leads {
            true => self.leaders.fetch_add(1, Ordering::AcqRel),
            false => self.leaders.fetch_sub(1, Ordering::AcqRel),
        };
    }

    pub(crate) fn elapsed_us(&self) -> u64 {
        self.elapsed_us_at(self.clock.now())
    }

    pub(crate) fn elapsed_us_at(&self, moment: Moment) -> u64 {
        u64::try_from(moment.since(self.started).as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn generations(&self) -> Vec<(EndpointKey, u64)> {
        self.generations.borrow().clone()
    }

    pub(crate) fn routes_changed(&self) -> watch::Receiver<Vec<(EndpointKey, u64)>> {
        self.generations.subscribe()
    }

    /// The leader says the split in force. One that does not fit the endpoint's revisions is passed over.
    pub(crate) fn set_weights(&self, weights: &wire::Weights) {
        let key = EndpointKey::new(&*weights.namespace, &*weights.endpoint);
        let names = weights.revisions.iter().map(String::as_str);
        let percents = weights.percents.iter().filter_map(|percent| Percent::new(u8::try_from(*percent).ok()?));
        let shares: Vec<(&str, Percent)> = names.zip(percents).collect();
        match self.routes.load().by_key(&key) {
            Some(served) if served.set_weights(&shares) => info!(endpoint = %key, ?shares, "weights in force"),
            _ => warn!(endpoint = %key, ?shares, "passed over weights that do not fit"),
        }
    }

    fn hold_or_new(&self, key: &RevisionKey, endpoint: Option<&Endpoint>) -> Arc<Hold> {
        let hold = self.holds.entry(key.clone()).or_insert_with(|| {
            let (limit, queue) = match endpoint {
                Some(endpoint) => (endpoint.container_concurrency, endpoint.queue),
                // Told of before its endpoint; nothing can arrive until that is there and sets the real ones.
                None => (units::ConcurrencyLimit::Unlimited, Served::QUEUE_BEFORE_ITS_ENDPOINT),
            };
            let metrics = self.metrics.of_revision(key);
            let common = Common {
                clock: self.clock,
                wakes: self.wakes.clone(),
                budget: self.config.budget.clone(),
                hold_until: self.hold_until,
            };
            Arc::new(Hold::new(key.clone(), common, metrics, limit, queue))
        });
        Arc::clone(&hold)
    }
}

/// An endpoint's own listener is there, or is not needed any more.
#[derive(Debug)]
pub(crate) enum OwnPort {
    Open(EndpointKey, Listener),
    Close(EndpointKey),
}

/// Follows the catalogue, and writes the directory.
pub(crate) struct Follower {
    directory: Arc<Directory>,
    endpoints: Vec<Known>,
    revisions: Vec<(RevisionKey, watch::Sender<UpstreamSettings>, AbortHandle)>,
    /// Which endpoint changed.
    changes: JoinSet<Option<EndpointKey>>,
    fleets: JoinSet<Option<Infallible>>,
    own_ports: tokio::sync::mpsc::UnboundedSender<OwnPort>,
    synced: bool,
    /// Whether something changed that is not published yet.
    unpublished: bool,
    /// Endpoints that have gone, and whose series are still there.
    removed: Vec<EndpointKey>,
    /// Whether there are holds that nobody names and that requests are still at.
    leftovers: bool,
}

struct Known {
    key: EndpointKey,
    specification: watch::Receiver<Arc<Endpoint>>,
    served: Arc<Served>,
    door: OwnDoor,
}

/// An endpoint's own listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnDoor {
    NotWanted,
    Wanted { address: SocketAddr, tries: u32 },
    Open(SocketAddr),
}

impl OwnDoor {
    fn address(self) -> Option<SocketAddr> {
        match self {
            Self::NotWanted => None,
            Self::Wanted { address, .. } | Self::Open(address) => Some(address),
        }
    }

    fn is_awaited(self) -> bool {
        matches!(self, Self::Wanted { .. })
    }
}

impl Follower {
    pub(crate) fn new(directory: Arc<Directory>, own_ports: tokio::sync::mpsc::UnboundedSender<OwnPort>) -> Self {
        Self {
            directory,
            endpoints: Vec::new(),
            revisions: Vec::new(),
            changes: JoinSet::new(),
            fleets: JoinSet::new(),
            own_ports,
            synced: false,
            unpublished: false,
            removed: Vec::new(),
            leftovers: false,
        }
    }

    /// Runs for as long as the catalogue does.
    pub(crate) async fn run(mut self, catalogue: Arc<dyn Catalogue>) -> anyhow::Result<Infallible> {
        let mut endpoints = catalogue.endpoints();
        let mut revisions = catalogue.revisions();
        let mut again = tokio::time::interval(TRY_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let unfinished = self.leftovers || self.endpoints.iter().any(|known| known.door.is_awaited());
            tokio::select! {
                event = endpoints.recv() => self.endpoint(event.ok_or_else(ended)?),
                event = revisions.recv() => self.revision(event.ok_or_else(ended)?).await,
                Some(changed) = self.changes.join_next() => {
                    if let Ok(Some(key)) = changed {
                        self.changed(&key);
                    }
                }
                Some(ended) = self.fleets.join_next() => note(ended),
                _ = again.tick(), if unfinished => self.try_again(),
            }
            // The whole table is made anew, so at the start once for all rather than once for each.
            if self.unpublished && endpoints.is_empty() && revisions.is_empty() {
                self.forget_unnamed();
                self.publish();
                self.forget_removed();
            }
        }
    }

    fn endpoint(&mut self, event: Event<EndpointKey, Endpoint>) {
        self.unpublished = true;
        match event {
            Event::Added(key, mut specification) => {
                let endpoint = Arc::clone(&specification.borrow_and_update());
                self.end_copies_for_targets_of(&endpoint);
                let holds = self.holds_of(&endpoint);
                let Some(served) = Served::new(&endpoint, holds, self.shadows_of(&endpoint)).map(Arc::new) else {
                    error!(endpoint = %key, "its targets are no split, it is not served");
                    return;
                };
                let known = Known { key: key.clone(), specification, served, door: OwnDoor::NotWanted };
                self.endpoints.push(known);
                self.put_in_force(&key, &endpoint);
                self.await_change(&key);
            }
            Event::Removed(key) => {
                self.endpoints.retain(|known| known.key != key);
                let _ = self.own_ports.send(OwnPort::Close(key.clone()));
                self.removed.push(key);
            }
            Event::Synced => self.synced = true,
        }
    }

    async fn revision(&mut self, event: Event<RevisionKey, Revision>) {
        match event {
            Event::Added(key, revision) => {
                let hold = self.directory.hold_or_new(&key, None);
                let settings = watch::Sender::new(self.upstream_of(&key));
                let fleet = Fleet::new(
                    hold,
                    self.directory.clock,
                    settings.subscribe(),
                    self.directory.config.sidecar_tls.clone(),
                    self.directory.config.plain_sidecars,
                );
                let task = self.fleets.spawn(fleet.run(revision));
                self.revisions.push((key, settings, task));
            }
            Event::Removed(key) => {
                let Some(position) = self.revisions.iter().position(|(known, ..)| *known == key) else { return };
                let (_, _, fleet) = self.revisions.swap_remove(position);
                fleet.abort();
                // What it offers last must not come after what is said below.
                while !fleet.is_finished()
                    && let Some(ended) = self.fleets.join_next().await
                {
                    note(ended);
                }
                if let Some(hold) = self.directory.hold(&key) {
                    hold.offer(Vec::new());
                    hold.set_gone(true);
                }
                self.unpublished = true;
            }
            Event::Synced => {}
        }
    }

    fn changed(&mut self, key: &EndpointKey) {
        let Some(known) = self.endpoints.iter_mut().find(|known| known.key == *key) else { return };
        // What is told here may be about one of the same name that is gone, and this one is awaited already.
        if !known.specification.has_changed().unwrap_or(false) {
            return;
        }
        let endpoint = Arc::clone(&known.specification.borrow_and_update());
        self.unpublished = true;
        self.put_in_force(key, &endpoint);
        self.await_change(key);
    }

    fn put_in_force(&mut self, key: &EndpointKey, endpoint: &Endpoint) {
        for (revision, _) in endpoint.revisions() {
            let hold = self.directory.hold_or_new(revision, Some(endpoint));
            hold.set_limits(endpoint.container_concurrency, endpoint.queue);
            if let Some((_, settings, _)) = self.revisions.iter().find(|(known, ..)| known == revision) {
                settings.send_if_modified(|old| std::mem::replace(old, upstream(endpoint)) != upstream(endpoint));
            }
        }
        self.end_copies_for_targets_of(endpoint);
        let (holds, shadows) = (self.holds_of(endpoint), self.shadows_of(endpoint));
        let Some(known) = self.endpoints.iter_mut().find(|known| known.key == *key) else { return };
        known.served.put_in_force(endpoint, holds, shadows);
        if known.door.address() != endpoint.own_port {
            let _ = self.own_ports.send(OwnPort::Close(key.clone()));
            known.door = match endpoint.own_port {
                Some(address) => OwnDoor::Wanted { address, tries: 0 },
                None => OwnDoor::NotWanted,
            };
            known.open_door(&self.own_ports);
        }
    }

    /// Doors that could not be opened, and holds that could not be forgotten.
    fn try_again(&mut self) {
        for known in &mut self.endpoints {
            self.unpublished |= known.open_door(&self.own_ports);
        }
        self.unpublished |= self.leftovers;
    }

    fn await_change(&mut self, key: &EndpointKey) {
        let Some(known) = self.endpoints.iter().find(|known| known.key == *key) else { return };
        let (mut specification, key) = (known.specification.clone(), key.clone());
        self.changes.spawn(async move { specification.changed().await.ok().map(|()| key) });
    }

    fn holds_of(&self, endpoint: &Endpoint) -> Vec<Arc<Hold>> {
        let of = |target: &platform::Target| self.directory.hold_or_new(&target.revision, Some(endpoint));
        endpoint.targets.iter().map(of).collect()
    }

    /// Before clients come to a revision that was a shadow until now.
    fn end_copies_for_targets_of(&self, endpoint: &Endpoint) {
        let is_target = |revision: &RevisionKey| endpoint.targets.iter().any(|target| target.revision == *revision);
        self.directory.shadows.keep(|revision| !is_target(revision));
    }

    fn shadows_of(&self, endpoint: &Endpoint) -> Vec<Shadow> {
        let directory = &self.directory;
        directory.shadows.of(endpoint, |revision| directory.hold_or_new(revision, Some(endpoint)))
    }

    fn upstream_of(&self, revision: &RevisionKey) -> UpstreamSettings {
        let names = |endpoint: &Endpoint| endpoint.revisions().any(|(named, _)| named == revision);
        let endpoints = self.endpoints.iter().map(|known| known.specification.borrow());
        endpoints.into_iter().find(|endpoint| names(endpoint)).map_or(UpstreamSettings::HTTP1, |it| upstream(&it))
    }

    /// Lets go of holds that nobody names and that nothing is at. While a request is, its hold stays: should the revision
    /// come again, the request must count, or a promise would be given over its head.
    fn forget_unnamed(&mut self) {
        let in_force: Vec<_> = self.endpoints.iter().map(|known| known.served.now()).collect();
        let shadows = in_force.iter().flat_map(|in_force| &*in_force.endpoint.shadows).map(|shadow| &shadow.revision);
        let shadows: HashSet<&RevisionKey> = shadows.collect();
        self.directory.shadows.keep(|revision| shadows.contains(revision));
        let named = in_force.iter().flat_map(|in_force| in_force.endpoint.revisions()).map(|(revision, _)| revision);
        let named: HashSet<&RevisionKey> = named.chain(self.revisions.iter().map(|(key, ..)| key)).collect();
        self.leftovers = false;
        for hold in self.directory.holds() {
            if named.contains(&hold.key) {
                continue;
            }
            hold.set_gone(true);
            if hold.is_idle() {
                self.directory.holds.remove(&hold.key);
                self.directory.metrics.forget(&hold.key);
            } else {
                self.leftovers = true;
            }
        }
    }

    /// After the routes: until they say that an endpoint is gone, refusals are counted for it.
    fn forget_removed(&mut self) {
        for key in self.removed.drain(..) {
            if self.directory.by_key(&key).is_none() {
                self.directory.metrics.forget_endpoint(&key);
            }
        }
    }

    /// Swaps the table of routes, then acknowledges: whoever hears the acknowledgement may rely on the route, and on the
    /// listener.
    fn publish(&mut self) {
        self.unpublished = false;
        let specifications: Vec<Arc<Endpoint>> =
            self.endpoints.iter().map(|known| Arc::clone(&known.specification.borrow())).collect();
        let pairs =
            specifications.iter().map(AsRef::as_ref).zip(self.endpoints.iter().map(|it| Arc::clone(&it.served)));
        let config = &self.directory.config;
        let routes = Routes::new(pairs, &config.cluster_domain, config.alone_answers_every_host, self.synced);
        self.directory.routes.store(Arc::new(routes));
        self.directory.synced.send_replace(self.synced);
        let open = self.endpoints.iter().filter(|known| !known.door.is_awaited());
        let generations = open.map(|known| (known.key.clone(), known.served.generation())).collect();
        self.directory.generations.send_if_modified(|old| std::mem::replace(old, generations) != *old);
    }
}

impl Known {
    /// Takes its own port, if it is wanted and can be had. Connections are accepted from then on.
    fn open_door(&mut self, own_ports: &tokio::sync::mpsc::UnboundedSender<OwnPort>) -> bool {
        let OwnDoor::Wanted { address, tries } = self.door else { return false };
        match Listener::bind(address) {
            Ok(listener) => {
                info!(endpoint = %self.key, address = %listener.address(), "own port open");
                self.door = OwnDoor::Open(address);
                own_ports.send(OwnPort::Open(self.key.clone(), listener)).is_ok()
            }
            Err(fault) => {
                let tries = tries.saturating_add(1);
                if tries == TRIES_BEFORE_AN_ERROR {
                    error!(endpoint = %self.key, %fault, "no own port; the shared one serves it, and it is tried again");
                }
                self.door = OwnDoor::Wanted { address, tries };
                false
            }
        }
    }
}

fn note(fleet: Result<Option<Infallible>, tokio::task::JoinError>) {
    match fleet {
        Err(panic) if panic.is_panic() => error!(%panic, "a revision's replicas are not followed any more"),
        _ => debug!("a revision's replicas are followed no longer"),
    }
}

fn upstream(endpoint: &Endpoint) -> UpstreamSettings {
    UpstreamSettings { protocol: endpoint.upstream }
}

fn ended() -> anyhow::Error {
    anyhow::anyhow!("the catalogue ended")
}

#[cfg(test)]
mod tests {
    use breaker::Budget;
    use forward::ByClass;
    use prometheus::Registry;
    use tokio::time::Instant;

    use super::*;

    fn directory(quiet: Duration) -> Directory {
        let config = Config {
            namespace: "default".into(),
            name: "activator".into(),
            uid: "activator".into(),
            listen: ([127, 0, 0, 1], 0).into(),
            autoscalers: crate::fixed_autoscalers([]),
            autoscaler_trust: None,
            cluster_domain: "cluster.local".into(),
            alone_answers_every_host: false,
            sidecar_tls: None,
            plain_sidecars: true,
            budget: Budget::new(1),
            quiet,
            drain: ByClass::all(Duration::from_secs(300)),
        };
        let metrics = Metrics::register(&Registry::new(), &config.budget).unwrap();
        Directory::new(config, Clock::start(), metrics, None)
    }

    async fn seconds_until_nobody_comes(directory: &Directory) -> u64 {
        let began = Instant::now();
        directory.nobody_comes().await;
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn the_quiet_period_begins_when_no_path_leads_here_and_does_not_wait_for_a_leader_that_is_away() {
        let quiet = Duration::from_secs(15);
        assert_eq!(seconds_until_nobody_comes(&directory(quiet)).await, 20);
        let out = directory(quiet);
        out.is_out();
        assert_eq!(seconds_until_nobody_comes(&out).await, 15);
        assert_eq!(seconds_until_nobody_comes(&directory(Duration::ZERO)).await, 0);
    }
}
