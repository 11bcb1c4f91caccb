//! Follows what exists: a task for each revision and each endpoint, for as long as it is there.
//!
//! Also what concerns all of them: does this autoscaler lead, what says `config-autoscaler`, and may an activator that
//! asked to leave go.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use kpa::policy::Cluster;
use platform::{Catalogue, Endpoint, Event, Leadership, Revision};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tracing::{Instrument as _, error, info, info_span, warn};
use units::{EndpointKey, RevisionKey};
use wire::Down;

use crate::ground::Ground;
use crate::inbox::Heard;
use crate::{revision, routes, settings};

/// The pause before what broke is begun anew. What broke it may be there still, and without a pause it would take a
/// whole processor, and fill the log.
const RECOVERY: Duration = Duration::from_secs(1);

/// The ends that only the hub writes to.
pub(crate) struct Ends {
    pub(crate) epoch: watch::Sender<Option<u64>>,
    pub(crate) cluster: watch::Sender<Option<Arc<Cluster>>>,
}

/// Follows for as long as it is polled.
pub(crate) async fn follow(ground: Ground, catalogue: Arc<dyn Catalogue>, ends: Ends) -> anyhow::Result<Infallible> {
    let mut endpoints = catalogue.endpoints();
    let mut revisions = catalogue.revisions();
    let mut config = catalogue.config();
    let mut leadership = ground.leadership.clone();
    let mut highest = ground.highest.subscribe();
    let mut peers = ground.peers.changes();
    let mut routes = ground.peers.routes();
    let mut activators = ground.activators.clone();
    let mut hub = Hub {
        ground,
        ends,
        revisions: HashMap::new(),
        endpoints: HashMap::new(),
        tasks: Tasks::new(),
        out: HashSet::new(),
    };
    hub.lead();
    let data = config.borrow_and_update().clone();
    hub.config(data);
    loop {
        // Nothing is lost when a branch is dropped: each is a channel or a set.
        tokio::select! {
            event = endpoints.recv() => hub.endpoint(event.ok_or_else(gone)?),
            event = revisions.recv() => hub.revision(event.ok_or_else(gone)?),
            changed = leadership.changed() => {
                changed.map_err(|_| anyhow!("nobody says any more who leads"))?;
                hub.lead();
            }
            _ = highest.changed() => hub.lead(),
            changed = config.changed() => {
                changed.map_err(|_| anyhow!("nobody says any more what config-autoscaler is"))?;
                let data = config.borrow_and_update().clone();
                hub.config(data);
            }
            changed = activators.changed() => {
                changed.map_err(|_| anyhow!("nobody says any more which activators exist"))?;
                hub.peers_changed();
            }
            _ = peers.changed() => hub.peers_changed(),
            _ = routes.changed() => hub.peers_changed(),
            Some(end) = hub.tasks.ended() => hub.ended(end),
        }
    }
}

fn gone() -> anyhow::Error {
    anyhow!("nobody says any more what exists")
}

struct Hub {
    ground: Ground,
    ends: Ends,
    revisions: HashMap<RevisionKey, watch::Receiver<Arc<Revision>>>,
    endpoints: HashMap<EndpointKey, watch::Receiver<Arc<Endpoint>>>,
    tasks: Tasks,
    /// Activators that were told that no path leads to them.
    out: HashSet<Arc<str>>,
}

impl Hub {
    fn endpoint(&mut self, event: Event<EndpointKey, Endpoint>) {
        match event {
            Event::Added(key, facts) => {
                self.endpoints.insert(key.clone(), facts);
                self.begin_endpoint(key, Duration::ZERO);
            }
            Event::Removed(key) => {
                self.endpoints.remove(&key);
                self.ground.endpoints.went(&key);
                self.ground.peers.forget_endpoint(&key);
                self.tasks.end(&Task::Endpoint(key));
            }
            Event::Synced => {}
        }
    }

    fn begin_endpoint(&mut self, key: EndpointKey, pause: Duration) {
        let Some(facts) = self.endpoints.get(&key).cloned() else { return };
        let wishes = self.ground.endpoints.came(key.clone(), facts.clone());
        let span = info_span!("endpoint", endpoint = %key);
        let route = routes::keep(self.ground.clone(), key.clone(), facts.clone(), wishes).instrument(span);
        let tell = tell_revisions(self.ground.clone(), facts);
        self.tasks.begin(Task::Endpoint(key), async move {
            sleep(pause).await;
            tokio::join!(route, tell);
        });
    }

    fn revision(&mut self, event: Event<RevisionKey, Revision>) {
        match event {
            Event::Added(key, facts) => {
                self.revisions.insert(key.clone(), facts);
                self.begin_revision(key, Duration::ZERO);
            }
            Event::Removed(key) => {
                self.revisions.remove(&key);
                self.tasks.end(&Task::Revision(key.clone()));
                self.ground.inboxes.close(&key);
                self.ground.shelf.remove(&key);
                self.ground.metrics.forget(&key);
            }
            Event::Synced => {}
        }
    }

    fn begin_revision(&mut self, key: RevisionKey, pause: Duration) {
        let Some(facts) = self.revisions.get(&key).cloned() else { return };
        let inbox = self.ground.inboxes.open(key.clone());
        let span = info_span!("revision", revision = %key);
        let keep = revision::keep(self.ground.clone(), facts, inbox).instrument(span);
        self.tasks.begin(Task::Revision(key), async move {
            sleep(pause).await;
            keep.await;
        });
    }

    /// A task ended. It does so by itself only if what it was for is gone; one that broke is begun anew after a pause,
    /// so that one revision's bad luck is not its neighbours'.
    fn ended(&mut self, end: TaskEnd) {
        let TaskEnd { task, panic } = end;
        if let Some(panic) = panic {
            error!(task = ?task, error = panic, "a task broke, beginning it anew");
            match task {
                Task::Revision(key) => self.begin_revision(key, RECOVERY),
                Task::Endpoint(key) => self.begin_endpoint(key, RECOVERY),
            }
        }
    }

    /// Leads if the platform says so and no peer has seen a higher epoch.
    fn lead(&mut self) {
        let least = *self.ground.highest.borrow();
        let epoch = match *self.ground.leadership.borrow() {
            Leadership::Leading { epoch, .. } if least <= epoch => Some(epoch),
            Leadership::Leading { .. } | Leadership::Following => None,
        };
        let is_new = self.ends.epoch.send_if_modified(|old| std::mem::replace(old, epoch) != epoch);
        if is_new {
            info!(?epoch, "leadership changed");
            self.ground.metrics.set_leading(epoch.is_some());
        }
    }

    fn config(&mut self, data: Option<Arc<BTreeMap<String, String>>>) {
        let Some(data) = data else { return };
        let last = self.ends.cluster.borrow().clone();
        let read = settings::read_cluster(&data, last.as_deref());
        if last.as_deref() != Some(&read) {
            self.ends.cluster.send_replace(Some(Arc::new(read)));
        }
    }

    fn peers_changed(&mut self) {
        let activators = self.ground.peers.activators();
        let pods = self.ground.activators.borrow().clone().unwrap_or_default();
        let exists = |uid: &Arc<str>| pods.iter().any(|pod| pod.uid == *uid);
        // Believed of those that exist: anyone else could depose the leader for good.
        let seen = activators.iter().filter(|peer| exists(&peer.uid)).map(|peer| peer.highest_epoch).max().unwrap_or(0);
        let is_higher =
            self.ground.highest.send_if_modified(|highest| std::mem::replace(highest, seen.max(*highest)) < seen);
        if is_higher {
            warn!(epoch = seen, "an activator has seen this epoch");
        }
        self.out.retain(|uid| activators.iter().any(|peer| peer.uid == *uid));
        let leaving = activators.iter().filter(|peer| peer.leaving && !self.out.contains(&peer.uid));
        let leaving: Vec<Arc<str>> = leaving.map(|peer| Arc::clone(&peer.uid)).collect();
        if leaving.is_empty() {
            return;
        }
        let endpoints = self.ground.endpoints.all();
        let is_named = |uid: &Arc<str>| endpoints.iter().any(|endpoint| endpoint.route.through().contains(uid));
        for uid in leaving.into_iter().filter(|uid| !is_named(uid)) {
            if self.ground.leading().is_some() && self.ground.peers.tell_activator(&uid, Down::Out(wire::Empty {})) {
                self.out.insert(uid);
            }
        }
    }
}

/// Tells the revisions of an endpoint when it changes, and the hub that a route may name somebody no more.
async fn tell_revisions(ground: Ground, mut facts: watch::Receiver<Arc<Endpoint>>) {
    while facts.changed().await.is_ok() {
        let endpoint = Arc::clone(&facts.borrow_and_update());
        for (revision, _) in endpoint.revisions() {
            ground.inboxes.tell(revision, Heard::EndpointChanged);
        }
        ground.peers.route_changed();
    }
}

/// What a task is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Task {
    Revision(RevisionKey),
    Endpoint(EndpointKey),
}

/// How one ended.
struct TaskEnd {
    task: Task,
    /// What it died of; `None` if it was done.
    panic: Option<String>,
}

/// One task for each thing, owned and joined here. Dropping the set ends them all.
struct Tasks {
    set: JoinSet<()>,
    running: HashMap<Task, AbortHandle>,
    names: HashMap<tokio::task::Id, Task>,
}

impl Tasks {
    fn new() -> Self {
        Self { set: JoinSet::new(), running: HashMap::new(), names: HashMap::new() }
    }

    /// Begins a task, in the place of an older one for the same thing.
    fn begin(&mut self, task: Task, work: impl Future<Output = ()> + Send + 'static) {
        let handle = self.set.spawn(work);
        self.names.insert(handle.id(), task.clone());
        if let Some(older) = self.running.insert(task, handle) {
            older.abort();
        }
    }

    /// Ends a task. It may be dropped at any of its awaits: what it has ordered, the platform carries out or not.
    fn end(&mut self, task: &Task) {
        if let Some(handle) = self.running.remove(task) {
            handle.abort();
        }
    }

    /// The next that ended; `None` while there is none at all.
    async fn ended(&mut self) -> Option<TaskEnd> {
        loop {
            let (id, panic) = match self.set.join_next_with_id().await? {
                Ok((id, ())) => (id, None),
                Err(error) if error.is_cancelled() => {
                    self.names.remove(&error.id());
                    continue;
                }
                Err(error) => (error.id(), Some(error.to_string())),
            };
            let Some(task) = self.names.remove(&id) else { continue };
            if self.running.get(&task).is_some_and(|handle| handle.id() == id) {
                self.running.remove(&task);
                return Some(TaskEnd { task, panic });
            }
        }
    }
}
