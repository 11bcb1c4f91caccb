//! A toy world: one endpoint, one revision `default/v1`, a platform that does at once what it is told, and activators
//! that report each second and answer seals. The hub and the streams are the real ones; the sockets are pipes.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use daemon::Clock;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use platform::{
    ActivatorPod, Actuator, Boards, Endpoint, Layer, Leadership, OnUnavailable, PathPolicy, QueueLimits, Replica,
    ReplicaState, Revision, Route, RouteError, RouteOrder, Scale, ScaleError, ScaleOrder, ScaleVersion, Source, Target,
    Timeouts, Trouble, UpstreamProtocol, Workload,
};
use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use units::{ConcurrencyLimit, EndpointKey, Percent, ReplicaCount, RevisionKey};
use wire::{Down, Role, Up, Verdict};

use super::{hello, wake};
use crate::config::Config;
use crate::ground::Ground;
use crate::metrics::Metrics;
use crate::streams::Streams;
use crate::{hub, lay_ground};

/// How long a test waits for something, in its own time.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn v1() -> RevisionKey {
    RevisionKey::new("default", "v1")
}

pub(crate) fn endpoint_key() -> EndpointKey {
    EndpointKey::new("default", "recommender")
}

/// How the platform takes its next order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Somebody has changed `scale` to this meanwhile.
    Conflict(u32),
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is lost on its way.
    OrderLost,
    /// It breaks whoever gives it.
    Breaks,
}

/// The platform: both seams.
pub(crate) struct World {
    clock: Clock,
    boards: Arc<Boards>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    made: u32,
    version: u32,
    never_ready: bool,
    never_spawned: bool,
    moods: VecDeque<Mood>,
    orders: Vec<u32>,
    victims: Vec<Arc<str>>,
    /// How the revision really is, while the catalogue lags behind.
    unseen: Option<Revision>,
    lags: bool,
}

impl World {
    pub(crate) fn new(clock: Clock) -> Self {
        let world = Self { clock, boards: Arc::new(Boards::new()), inner: Mutex::default() };
        world.boards.activators.send_replace(Some(Arc::from([])));
        world.boards.config.send_replace(Some(Arc::default()));
        world.boards.endpoints.put(endpoint_key(), endpoint());
        world.boards.revisions.put(v1(), revision());
        world.boards.endpoints.synced();
        world.boards.revisions.synced();
        world
    }

    /// What can be seen of it.
    pub(crate) fn boards(&self) -> Arc<Boards> {
        Arc::clone(&self.boards)
    }

    /// How it really is.
    pub(crate) fn revision(&self) -> Revision {
        let unseen = self.inner.lock().unseen.clone();
        unseen.unwrap_or_else(|| (*self.boards.revisions.get(&v1()).unwrap()).clone())
    }

    /// From now on the catalogue tells of no change.
    pub(crate) fn lag(&self) {
        self.inner.lock().lags = true;
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        (*self.boards.endpoints.get(&endpoint_key()).unwrap()).clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Revision)) {
        let mut revision = self.revision();
        change(&mut revision);
        self.boards.revisions.put(v1(), revision);
    }

    pub(crate) fn change_endpoint(&self, change: impl FnOnce(&mut Endpoint)) {
        let mut endpoint = self.endpoint();
        change(&mut endpoint);
        self.boards.endpoints.put(endpoint_key(), endpoint);
    }

    pub(crate) fn configure(&self, key: &str, value: &str) {
        let data = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        self.boards.config.send_replace(Some(Arc::new(data)));
    }

    pub(crate) fn replicas(&self) -> u32 {
        self.revision().scale().unwrap().replicas.0
    }

    /// An activator whose pod exists.
    pub(crate) fn add_activator(&self, uid: &str) {
        let pod = ActivatorPod { name: uid.into(), uid: uid.into(), out_since: None };
        self.boards.activators.send_modify(|pods| {
            let known = pods.iter().flat_map(|pods| pods.iter().cloned()).filter(|known| known.uid != pod.uid);
            *pods = Some(known.chain([pod.clone()]).collect());
        });
    }

    /// Nobody can say which activators exist.
    pub(crate) fn forget_activators(&self) {
        self.boards.activators.send_replace(None);
    }

    /// Every order that came, also those not carried out.
    pub(crate) fn orders(&self) -> Vec<u32> {
        self.inner.lock().orders.clone()
    }

    pub(crate) fn last_victims(&self) -> Vec<Arc<str>> {
        self.inner.lock().victims.clone()
    }

    pub(crate) fn next_mood(&self, mood: Mood) {
        self.inner.lock().moods.push_back(mood);
    }

    pub(crate) fn never_ready(&self) {
        self.inner.lock().never_ready = true;
    }

    pub(crate) fn never_spawned(&self) {
        self.never_ready();
        self.inner.lock().never_spawned = true;
    }

    /// Its copies crash so often, and say this.
    pub(crate) fn crash(&self, crashes: u32, last_words: &str) {
        let trouble = Trouble { crashes_in_a_row: crashes, last_words: last_words.into() };
        self.change(|revision| revision.trouble = Some(trouble));
    }

    /// Sets `scale`, as anybody may.
    pub(crate) fn set(&self, replicas: u32) -> Scale {
        let mut revision = self.revision();
        let mut inner = self.inner.lock();
        inner.version += 1;
        let scale = Scale {
            replicas: ReplicaCount(replicas),
            version: ScaleVersion(format!("version-{}", inner.version).into()),
        };
        let generation = 1;
        revision.workload = Workload::Present { generation, scale: scale.clone() };
        let now = self.clock.now();
        while revision.replicas.len() < replicas as usize {
            inner.made += 1;
            revision.replicas.push(Replica {
                name: format!("v1-{}", inner.made).into(),
                address: None,
                encrypted: false,
                state: if inner.never_ready { ReplicaState::Starting } else { ReplicaState::Ready },
                since: now,
                created: now,
                spawned: (!inner.never_spawned).then_some(now),
            });
        }
        let victims: Vec<Arc<str>> = inner.victims.clone();
        for victim in victims {
            if (replicas as usize) < revision.replicas.len() {
                revision.replicas.retain(|replica| replica.name != victim);
            }
        }
        revision.replicas.truncate(replicas as usize);
        if replicas == 0 {
            revision.trouble = None;
        }
        if inner.lags {
            inner.unseen = Some(revision);
        } else {
            self.boards.revisions.put(v1(), revision);
        }
        scale
    }
}

impl Actuator for World {
    fn scale(&self, order: ScaleOrder) -> BoxFuture<'_, Result<Scale, ScaleError>> {
        Box::pin(async move {
            let mood = {
                let mut inner = self.inner.lock();
                inner.orders.push(order.to.0);
                inner.victims = order.victims;
                inner.moods.pop_front()
            };
            assert_ne!(mood, Some(Mood::Breaks), "this order was to break its giver");
            if let Some(Mood::Conflict(by_somebody)) = mood {
                self.set(by_somebody);
            }
            let now = self.revision().scale().cloned().unwrap();
            if order.expect.is_some_and(|expected| expected != now.version) {
                return Err(ScaleError::Conflict { now });
            }
            let lost = || ScaleError::Unknown { why: "the answer was lost".into() };
            match mood {
                Some(Mood::OrderLost) => Err(lost()),
                Some(Mood::AnswerLost) => {
                    self.set(order.to.0);
                    Err(lost())
                }
                Some(Mood::Conflict(_) | Mood::Breaks) | None => Ok(self.set(order.to.0)),
            }
        })
    }

    fn read_scale<'a>(&'a self, _: &'a RevisionKey) -> BoxFuture<'a, Result<Scale, ScaleError>> {
        Box::pin(async { Ok(self.revision().scale().cloned().unwrap()) })
    }

    fn set_route(&self, order: RouteOrder) -> BoxFuture<'_, Result<(), RouteError>> {
        self.change_endpoint(|endpoint| endpoint.route = order.route);
        Box::pin(async { Ok(()) })
    }
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint {
        key: endpoint_key(),
        generation: 1,
        hosts: Vec::new(),
        own_port: None,
        targets: vec![Target { revision: v1(), percent: Percent::new(100).unwrap(), tag: None }],
        matches: Arc::from([]),
        sticky: None,
        shadows: Arc::from([]),
        upstream: UpstreamProtocol::Http1,
        path: PathPolicy::Auto,
        route: Route::Proxied { through: Arc::from([]) },
        container_concurrency: ConcurrencyLimit::Unlimited,
        timeouts: Timeouts { request: Some(Duration::from_secs(300)), response_start: None, idle: None },
        queue: QueueLimits { max_requests: NonZeroU32::MIN, max_bytes: 0, max_wait: Duration::from_secs(300) },
        on_unavailable: OnUnavailable::Fail,
        answer_headers: true,
    }
}

/// Knative's shortest window, and a target of 10.
fn revision() -> Revision {
    let values = BTreeMap::from([
        ("autoscaling.knative.dev/window".to_owned(), "6s".to_owned()),
        ("autoscaling.knative.dev/target".to_owned(), "10".to_owned()),
        ("autoscaling.knative.dev/target-utilization-percentage".to_owned(), "100".to_owned()),
    ]);
    let scale = Scale { replicas: ReplicaCount::ZERO, version: ScaleVersion("version-0".into()) };
    Revision {
        key: v1(),
        endpoint: endpoint_key(),
        workload: Workload::Present { generation: 1, scale },
        reachable: true,
        container_concurrency: ConcurrencyLimit::Unlimited,
        container_concurrency_from: Source::Endpoint,
        sidecars: false,
        layers: vec![Layer { source: Source::Deployment, values }],
        adopted: true,
        contested: false,
        replicas: Vec::new(),
        progress_deadline: Duration::from_secs(600),
        trouble: None,
    }
}

/// The hub, the streams, and the world they work in.
pub(crate) struct Toy {
    pub(crate) world: Arc<World>,
    pub(crate) ground: Ground,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) registry: prometheus::Registry,
    streams: Streams,
    tasks: JoinSet<()>,
}

impl Toy {
    pub(crate) fn new() -> Self {
        Self::on(Clock::start())
    }

    pub(crate) fn on(clock: Clock) -> Self {
        let world = Arc::new(World::new(clock));
        let (leadership, led) = watch::channel(Leadership::ALONE);
        let registry = prometheus::Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let config = Config::usual();
        let actuator: Arc<dyn Actuator> = world.clone();
        let (ground, ends) = lay_ground(config, &*world.boards, actuator, led, clock, metrics);
        let streams = Streams {
            peers: Arc::clone(&ground.peers),
            inboxes: Arc::clone(&ground.inboxes),
            epoch: ground.epoch.clone(),
            clock,
            metrics: ground.metrics.clone(),
            gate: None,
            patience: ground.config.peer_patience,
            silence: ground.config.peer_silence,
        };
        let mut tasks = JoinSet::new();
        let followed = hub::follow(ground.clone(), world.boards(), ends);
        tasks.spawn(async move {
            followed.await.map(|never| match never {}).unwrap();
        });
        Self { world, ground, leadership, registry, streams, tasks }
    }

    /// An activator whose pod exists, that is connected and knows the route.
    pub(crate) async fn activator(&mut self, uid: &str) -> Activator {
        self.world.add_activator(uid);
        let (theirs, ours) = duplex(64 << 10);
        self.tasks.spawn(self.streams.clone().stream(ours, None));
        let (reader, writer) = split(theirs);
        let state = Arc::new(Mutex::new(State::default()));
        let writer = Arc::new(tokio::sync::Mutex::new(writer));
        say(&writer, Up::Hello(hello(Role::Activator, uid, ""))).await;
        let ack = wire::RouteAck { namespace: "default".into(), endpoint: "recommender".into(), generation: 1 };
        say(&writer, Up::RouteAck(ack)).await;
        self.tasks.spawn(report(Arc::clone(&state), Arc::clone(&writer)));
        self.tasks.spawn(listen(Arc::clone(&state), Arc::clone(&writer), reader));
        Activator { state, writer }
    }

    /// Its pod is gone.
    pub(crate) fn remove_activator(&self, uid: &str) {
        self.world.boards.activators.send_modify(|pods| {
            *pods = Some(pods.iter().flat_map(|pods| pods.iter().cloned()).filter(|pod| &*pod.uid != uid).collect());
        });
    }

    /// A sidecar of a replica.
    pub(crate) async fn sidecar(&mut self, replica: &str) -> super::Peer<DuplexStream> {
        let (theirs, ours) = duplex(64 << 10);
        self.tasks.spawn(self.streams.clone().stream(ours, None));
        super::Peer::sidecar(theirs, "v1", replica).await
    }

    /// A sidecar that reports each second, runs with what it is told, and is idle unless it holds something.
    pub(crate) async fn working_sidecar(&mut self, replica: &str) -> Arc<Mutex<u32>> {
        let in_flight = Arc::new(Mutex::new(0));
        let mut peer = self.sidecar(replica).await;
        let here = Arc::clone(&in_flight);
        self.tasks.spawn(async move {
            let (mut settings_generation, mut concurrency_us, mut number) = (0, 0, 0);
            loop {
                tokio::select! {
                    said = peer.next() => match said {
                        Some(Down::Settings(settings)) => settings_generation = settings.generation,
                        Some(Down::IdleQuestion(wire::IdleQuestion { epoch, seq })) => {
                            let idle = *here.lock() == 0;
                            peer.say(Up::IdleAnswer(wire::IdleAnswer { epoch, seq, idle })).await;
                        }
                        Some(_) => {}
                        None => return,
                    },
                    () = sleep(Duration::from_secs(1)) => {
                        let in_flight = *here.lock();
                        number += 1;
                        concurrency_us += u64::from(in_flight) * 1_000_000;
                        let stats = wire::SidecarStats {
                            number,
                            elapsed_us: number * 1_000_000,
                            concurrency_us,
                            in_flight,
                            settings_generation,
                            ready: true,
                            ..Default::default()
                        };
                        peer.say(Up::SidecarStats(stats)).await;
                    }
                }
            }
        });
        in_flight
    }

    /// The last decision's word.
    pub(crate) fn because(&self) -> Option<&'static str> {
        let place = self.ground.shelf.get(&v1())?;
        let shown = place.lock();
        shown.decisions.last().map(|last| last.decision.because.word())
    }

    /// The words of all decisions kept, oldest first.
    pub(crate) fn story(&self) -> Vec<&'static str> {
        let place = self.ground.shelf.get(&v1()).unwrap();
        let shown = place.lock();
        shown.decisions.iter().map(|kept| kept.decision.because.word()).collect()
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("it never came that {what}"));
}

/// An activator at its end of the stream.
pub(crate) struct Activator {
    state: Arc<Mutex<State>>,
    writer: Writer,
}

type Writer = Arc<tokio::sync::Mutex<WriteHalf<DuplexStream>>>;

#[derive(Default)]
struct State {
    in_flight: u32,
    held: u32,
    silent: bool,
    vetoes: bool,
    outcomes: Vec<i32>,
    seals: u32,
    newest_seal: (u64, u64),
    refusal: Option<wire::Refusal>,
    is_out: bool,
}

impl Activator {
    /// So many requests are in flight here from now on.
    pub(crate) fn load(&self, in_flight: u32) {
        self.state.lock().in_flight = in_flight;
    }

    /// So many are in flight here from now on, and none is held.
    pub(crate) fn serve(&self, in_flight: u32) {
        let mut state = self.state.lock();
        (state.in_flight, state.held) = (in_flight, 0);
    }

    /// So many are held, and said so once as a wake.
    pub(crate) async fn wake(&self, held: u32) {
        {
            let mut state = self.state.lock();
            state.held = held;
            state.in_flight = held;
        }
        say(&self.writer, Up::Wake(wake("v1", held))).await;
    }

    /// Repeats a wake as an activator does, until the end of the test.
    pub(crate) fn insist(&self, toy: &mut Toy, held: u32) {
        let writer = Arc::clone(&self.writer);
        toy.tasks.spawn(async move {
            loop {
                say(&writer, Up::Wake(wake("v1", held))).await;
                sleep(Duration::from_millis(250)).await;
            }
        });
    }

    /// Says what it counted for comparing, of a revision of which nothing is here.
    pub(crate) async fn counted(&self, tally: wire::Tally) {
        let (namespace, revision) = ("default".into(), "v1".into());
        let demand = wire::Demand { namespace, revision, tally: Some(tally), ..wire::Demand::default() };
        say(&self.writer, Up::Frame(wire::Frame { number: 1, elapsed_us: 1_000_000, demands: vec![demand] })).await;
    }

    /// Asks to be taken out of every path.
    pub(crate) async fn leave(&self) {
        say(&self.writer, Up::Leaving(wire::Empty {})).await;
    }

    /// Was it told that no path leads to it?
    pub(crate) fn is_out(&self) -> bool {
        self.state.lock().is_out
    }

    /// Says nothing more: neither frames nor answers.
    pub(crate) fn fall_silent(&self) {
        self.state.lock().silent = true;
    }

    /// Gives no promise any more.
    pub(crate) fn veto(&self) {
        self.state.lock().vetoes = true;
    }

    /// How often it was asked for its promise.
    pub(crate) fn seals(&self) -> u32 {
        self.state.lock().seals
    }

    /// How the seals ended, as it was told.
    pub(crate) fn outcomes(&self) -> Vec<i32> {
        self.state.lock().outcomes.clone()
    }

    /// What it was told last of why the revision cannot be woken.
    pub(crate) fn refusal(&self) -> Option<wire::Refusal> {
        self.state.lock().refusal.clone()
    }
}

async fn say(writer: &Writer, what: Up) {
    use tokio::io::AsyncWriteExt as _;
    let frame = wire::encode(&wire::ToAutoscaler { kind: Some(what) });
    // One that was cut off says nothing.
    let _ = writer.lock().await.write_all(&frame).await;
}

/// A frame each second, with what is in flight integrated over it.
async fn report(state: Arc<Mutex<State>>, writer: Writer) {
    let (mut concurrency_us, mut requests) = (0, 0);
    let mut last: Option<wire::Demand> = None;
    for number in 1.. {
        sleep(Duration::from_secs(1)).await;
        let (in_flight, held, silent) = {
            let state = state.lock();
            (state.in_flight, state.held, state.silent)
        };
        concurrency_us += u64::from(in_flight) * 1_000_000;
        requests += u64::from(in_flight);
        let demand = wire::Demand {
            outcomes: None,
            namespace: "default".into(),
            revision: "v1".into(),
            requests,
            concurrency_us,
            in_flight,
            held: held.min(in_flight),
            tally: None,
        };
        let is_news = last.as_ref().map_or(0 < in_flight, |last| *last != demand);
        let demands = if !is_news { Vec::new() } else { vec![demand.clone()] };
        last = is_news.then_some(demand).or(last);
        if !silent {
            say(&writer, Up::Frame(wire::Frame { number, elapsed_us: number * 1_000_000, demands })).await;
        }
    }
}

async fn listen(state: Arc<Mutex<State>>, writer: Writer, reader: ReadHalf<DuplexStream>) {
    let mut peer = super::Peer::silent(tokio::io::join(reader, tokio::io::sink()));
    while let Some(said) = peer.next().await {
        match said {
            Down::Seal(seal) => {
                let verdict = {
                    let mut state = state.lock();
                    state.seals += 1;
                    let is_old = (seal.epoch, seal.seq) < state.newest_seal;
                    state.newest_seal = state.newest_seal.max((seal.epoch, seal.seq));
                    let is_idle = state.in_flight == 0 && !state.vetoes;
                    let verdict = match is_idle {
                        _ if is_old => Verdict::Outdated,
                        true => Verdict::Sealed,
                        false => Verdict::Veto,
                    };
                    (!state.silent).then_some(verdict)
                };
                let Some(verdict) = verdict else { continue };
                let wire::Seal { namespace, revision, epoch, seq, ttl_ms: _ } = seal;
                let answer = wire::SealAnswer { namespace, revision, epoch, seq, verdict: verdict as i32 };
                say(&writer, Up::SealAnswer(answer)).await;
            }
            Down::Outcome(outcome) => state.lock().outcomes.push(outcome.outcome),
            Down::Refusal(refusal) => state.lock().refusal = Some(refusal),
            Down::Out(_) => state.lock().is_out = true,
            Down::Lead(_) | Down::Weights(_) | Down::Settings(_) | Down::IdleQuestion(_) | Down::Trust(_) => {}
        }
    }
}
