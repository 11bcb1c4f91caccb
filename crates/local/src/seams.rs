//! The two seams: what exists here, and orders passed on to the fleets.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daemon::Clock;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use platform::{
    ActivatorPod, Actuator, Boards, Endpoint, PathPolicy, Route, RouteError, RouteOrder, Scale, ScaleError, ScaleOrder,
};
use queue_proxy::{Budget, Strangers};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use units::RevisionKey;

use crate::described::Described;
use crate::fleet::{Duty, Fleet, Order};
use crate::output::Shown;
use crate::port::Ports;
use crate::process::Keepers;

/// Where the running program is found again, also after its file was replaced.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// What the platform is given once.
pub struct Options {
    /// The program that is executed as a keeper; its `main` calls [`crate::keeper::run_if_asked`] first of all.
    /// [`THIS_PROGRAM`] but in tests.
    pub keeper: PathBuf,
    /// Where the lines that replicas print are shown; stderr but in tests.
    pub shown_on: Box<dyn io::Write + Send>,
    /// Whether names before these lines are coloured: only on a terminal.
    pub colour: bool,
    /// The activators of this program.
    pub activators: Vec<ActivatorPod>,
    /// Where the replicas' queue-proxies send their stats: every autoscaler.
    pub autoscalers: Vec<SocketAddr>,
    /// What the replicas' queue-proxies may read of bodies that wait: the budget of the whole program.
    pub budget: Budget,
}

/// Endpoints and revisions of one machine, with replicas as child processes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LocalPlatform(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    fleets: Mutex<BTreeMap<RevisionKey, mpsc::UnboundedSender<Order>>>,
    /// The highest leadership that gave an order.
    epoch: AtomicU64,
    running: TaskTracker,
}

/// What every fleet and every replica uses.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) keepers: Arc<Keepers>,
    pub(crate) autoscalers: Vec<SocketAddr>,
    /// Who is connected to a model past its queue-proxy.
    pub(crate) strangers: Strangers,
    pub(crate) budget: Budget,
    pub(crate) shown: Shown,
    pub(crate) ports: Ports,
    /// What there is, for whoever looks.
    pub(crate) boards: Arc<Boards>,
    /// Every replica, and what reads its output.
    pub(crate) tasks: TaskTracker,
    /// Nothing is waited for any more.
    pub(crate) kill: CancellationToken,
    /// Versions of every `scale`, so that none is ever given twice.
    pub(crate) versions: AtomicU64,
}

impl LocalPlatform {
    /// An empty platform: nothing is said to exist, and nothing to be known, until the first [`Self::apply`].
    /// To be called within a tokio runtime.
    pub fn new(options: Options, clock: Clock) -> Self {
        let Options { keeper, shown_on, colour, activators, autoscalers, budget } = options;
        let shared = Shared {
            clock,
            keepers: Arc::new(Keepers::of(keeper)),
            autoscalers,
            strangers: Strangers::default(),
            budget,
            shown: Shown::on(shown_on, colour),
            ports: Ports::default(),
            boards: Arc::new(Boards::new()),
            tasks: TaskTracker::new(),
            kill: CancellationToken::new(),
            versions: AtomicU64::new(1),
        };
        shared.boards.activators.send_replace(Some(activators.into()));
        shared.tasks.spawn(Arc::clone(&shared.keepers).replenish());
        Self(Arc::new(Inner {
            shared: Arc::new(shared),
            fleets: Mutex::default(),
            epoch: AtomicU64::new(0),
            running: TaskTracker::new(),
        }))
    }

    /// What exists.
    pub fn catalogue(&self) -> Arc<Boards> {
        Arc::clone(&self.0.shared.boards)
    }

    /// Puts a description in force in place of the one before. What is gone from it drains; what runs something else
    /// is replaced, one replica at a time; what has only other settings is not restarted.
    pub fn apply(&self, described: Described) {
        let inner = &*self.0;
        let route = Route::Proxied { through: inner.activators_by_uid() };
        let mut duties: BTreeMap<RevisionKey, Duty> = BTreeMap::new();
        let mut gone = inner.shared.boards.endpoints.keys();
        for mut endpoint in described.endpoints {
            endpoint.route = route.clone();
            // There is no other way here, so the scaler must not ask for one.
            endpoint.path = PathPolicy::Proxied;
            gone.retain(|key| *key != endpoint.key);
            let endpoint = Arc::new(endpoint);
            for (revision, reachable) in endpoint.revisions() {
                // A revision belongs to one endpoint; the first that names it.
                duties.entry(revision.clone()).or_insert_with(|| Duty {
                    endpoint: Arc::clone(&endpoint),
                    reachable,
                    workload: None,
                });
            }
            inner.shared.boards.endpoints.put(endpoint.key.clone(), Endpoint::clone(&endpoint));
        }
        for key in gone {
            inner.shared.boards.endpoints.remove(&key);
        }
        for workload in described.workloads {
            if let Some(duty) = duties.get_mut(&workload.key) {
                duty.workload = Some(Arc::new(workload));
            }
        }
        inner.shared.boards.config.send_if_modified(|config| {
            let differs = config.as_deref() != Some(&described.config);
            if differs {
                *config = Some(Arc::new(described.config));
            }
            differs
        });
        inner.assign(duties);
        inner.shared.boards.endpoints.synced();
    }

    /// Every replica leaves: it finishes what is in flight, is asked to end, and is made to after its grace. Returns
    /// when no process is left. Orders are refused from now on.
    pub async fn shutdown(&self) {
        self.0.close();
        self.0.running.wait().await;
        self.0.shared.keepers.close();
        self.0.shared.tasks.close();
        self.0.shared.tasks.wait().await;
        self.0.shared.shown.flushed().await;
    }

    /// Every process is killed now. [`Self::shutdown`], also one that is already waiting, then returns within moments;
    /// and if the program ends at once instead, the keepers see to it.
    pub fn kill_now(&self) {
        self.0.shared.kill.cancel();
        self.0.close();
    }
}

impl Inner {
    fn activators_by_uid(&self) -> Arc<[Arc<str>]> {
        let activators = self.shared.boards.activators.borrow().clone().unwrap_or_default();
        let mut uids: Vec<Arc<str>> = activators.iter().map(|activator| Arc::clone(&activator.uid)).collect();
        uids.sort();
        uids.into()
    }

    /// Tells each fleet its duty, and raises fleets for new ones. The feed is synced once all have published.
    fn assign(self: &Inner, mut duties: BTreeMap<RevisionKey, Duty>) {
        let mut fleets = self.fleets.lock();
        for key in duties.keys() {
            fleets.entry(key.clone()).or_insert_with(|| {
                let (orders, inbox) = mpsc::unbounded_channel();
                self.running.spawn(Fleet::new(key.clone(), Arc::clone(&self.shared)).run(inbox));
                orders
            });
        }
        let mut told = Vec::new();
        for (key, fleet) in &*fleets {
            let (done, is_done) = oneshot::channel();
            // A fleet ends only when it is told to close, and then a new duty comes too late.
            let _ = fleet.send(Order::Describe(duties.remove(key), done));
            told.push(is_done);
        }
        let shared = Arc::clone(&self.shared);
        self.running.spawn(async move {
            for is_done in told {
                let _ = is_done.await;
            }
            shared.boards.revisions.synced();
        });
    }

    fn close(&self) {
        for fleet in self.fleets.lock().values() {
            let _ = fleet.send(Order::Close);
        }
        self.running.close();
    }

    /// Passes an order on and waits for the answer; a fleet answers within microseconds.
    async fn ask(
        &self,
        revision: &RevisionKey,
        order: impl FnOnce(oneshot::Sender<Result<Scale, ScaleError>>) -> Order,
    ) -> Result<Scale, ScaleError> {
        let (answer, answered) = oneshot::channel();
        let fleet = self.fleets.lock().get(revision).cloned().ok_or(ScaleError::Gone)?;
        fleet.send(order(answer)).map_err(|_| ScaleError::Gone)?;
        answered.await.unwrap_or(Err(ScaleError::Gone))
    }

    /// One leader follows another; who is late is refused.
    fn heed(&self, epoch: u64) -> bool {
        self.epoch.fetch_max(epoch, Ordering::Relaxed) <= epoch
    }
}

impl Actuator for LocalPlatform {
    fn scale(&self, order: ScaleOrder) -> BoxFuture<'_, Result<Scale, ScaleError>> {
        Box::pin(async move {
            if !self.0.heed(order.epoch) {
                return Err(ScaleError::NotLeading);
            }
            let revision = order.revision.clone();
            self.0.ask(&revision, |answer| Order::Scale(order, answer)).await
        })
    }

    fn read_scale<'a>(&'a self, revision: &'a RevisionKey) -> BoxFuture<'a, Result<Scale, ScaleError>> {
        Box::pin(self.0.ask(revision, Order::Read))
    }

    /// Nothing to do: on one machine every request goes through the activator, and there is no other way.
    fn set_route(&self, order: RouteOrder) -> BoxFuture<'_, Result<(), RouteError>> {
        let answer = match order.route {
            Route::Proxied { .. } => Ok(()),
            Route::Direct | Route::Changing { .. } => {
                Err(RouteError { why: "on one machine every request is proxied".to_owned() })
            }
        };
        Box::pin(std::future::ready(answer))
    }
}
