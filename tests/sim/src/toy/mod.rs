//! The toy cluster: one endpoint with one or two revisions, two activators, two autoscalers, and what they run in.
//!
//! What decides is real: the scalers, judges of starts and seal leaders of the autoscalers; the lines, meters, seals,
//! replicas and splits of the activators; the lines and meters of the sidecars. What drives them is a model of the
//! programs' own glue, kept small. It differs from them in this:
//! - an autoscaler sees the workload, its replicas, the path and the activators' pods at once and as they are; what it
//!   orders takes its time, may be refused, and may go unanswered;
//! - a stream that breaks loses what is on its way and is opened anew later; in between nothing gets through;
//! - probes are answered at once by whatever is ready; a replica that is leaving stays until it is empty;
//! - no roll-outs, no shadows, no changes of settings, no connections past Rouse, and none that are upgraded.
//!
//! `requests` is the way of a request, `talk` what is said between the programs, `lead` and `sealing` the autoscaler, `platform` what
//! runs replicas, `faults` what goes wrong, `laws` what must hold all the time.

mod faults;
mod hold;
mod laws;
mod lead;
mod load;
mod platform;
mod replica;
mod requests;
mod sealing;
mod talk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use breaker::seal::Ending;
use kpa::seal::{Leader, PatchEnd, SealId};
use kpa::{Scaler, StartJudge};
use traffic::{Split, Target};
use units::{Incarnation, Moment, Percent};

use crate::plan::Plan;
use crate::queue::{Millis, Queue};
use crate::{Tally, Violation};
use hold::Hold;
use replica::Replica;
use talk::{Down, Link, Up};

/// The wall clock when a run begins.
const BEGIN: u64 = 1_700_000_000_000;

/// That many of the newest happenings are told with a violation.
const STORY: usize = 80;

/// An instant on a clock that is so far off.
pub(crate) fn moment(at: Millis, skew: i64) -> Moment {
    Moment::from_unix_millis((BEGIN + at).saturating_add_signed(skew))
}

fn toy_time(moment: Moment, skew: i64) -> Millis {
    let wall = u64::try_from(moment.unix().as_millis()).unwrap_or(u64::MAX);
    wall.saturating_add_signed(-skew).saturating_sub(BEGIN)
}

/// Whose order for replicas it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Decision,
    Seal(SealId),
}

/// A program as it is now: what was meant for an earlier life of it does not reach it.
type Life = u32;

#[derive(Debug)]
enum Event {
    Arrival,
    LoadChanges,
    Frame { activator: usize, life: Life },
    Wake { activator: usize, life: Life, revision: usize },
    Look { activator: usize, life: Life, revision: usize },
    WaitEnds { request: u64 },
    AtReplica { request: u64, tries: u32 },
    Done { request: u64 },
    Up { activator: usize, autoscaler: usize, stream: u32, said: Up },
    Down { activator: usize, autoscaler: usize, stream: u32, said: Down },
    StreamOpens { activator: usize, autoscaler: usize, stream: u32 },
    Sidecar { revision: usize, replica: u64 },
    Stats { autoscaler: usize, life: Life, revision: usize, replica: u64, reading: kpa::SidecarReading },
    IdleQuestion { autoscaler: usize, life: Life, revision: usize, replica: u64, id: SealId },
    IdleAnswer { autoscaler: usize, life: Life, revision: usize, replica: u64, id: SealId, idle: bool },
    Decide { autoscaler: usize, life: Life, revision: usize },
    SealTime { autoscaler: usize, life: Life, revision: usize },
    Order { autoscaler: usize, life: Life, revision: usize, to: u32, expect: u64, whose: Whose, answered: bool },
    Ordered { autoscaler: usize, life: Life, revision: usize, whose: Whose, end: PatchEnd },
    Read { autoscaler: usize, life: Life, revision: usize, begun: Option<Moment> },
    Lease { autoscaler: usize, life: Life },
    PathWish { direct: bool },
    RouteKnown { activator: usize, life: Life, generation: u64 },
    ClientsKnow { generation: u64, direct: bool },
    StartEnds { revision: usize, replica: u64 },
    LooksEmpty { revision: usize, replica: u64 },
    Fault,
    ActivatorBack { activator: usize },
    AutoscalerBack { autoscaler: usize },
    EachMinute,
}

/// One revision as the platform has it.
#[derive(Debug)]
struct Workload {
    scale: u32,
    version: u64,
    replicas: Vec<Replica>,
    /// Starts that failed in a row.
    crashes_in_a_row: u32,
    /// Until when no start succeeds.
    starts_fail_until: Millis,
}

/// Which way requests take.
#[derive(Debug)]
struct Route {
    direct: bool,
    generation: u64,
    clients_go_direct: bool,
    wished: bool,
}

#[derive(Debug)]
struct Activator {
    up: bool,
    life: Life,
    pods: u32,
    uid: Arc<str>,
    skew: i64,
    born: Millis,
    holds: Vec<Hold>,
    picked: u64,
    highest_epoch: u64,
    route_known: u64,
    links: [Link; 2],
}

#[derive(Debug)]
struct Autoscaler {
    up: bool,
    life: Life,
    skew: i64,
    born: Millis,
    keepers: Vec<Keeper>,
    /// Who is connected, and when it was last heard.
    streams: BTreeMap<Arc<str>, (Incarnation, Millis)>,
    acknowledged: BTreeMap<Arc<str>, u64>,
    sidecars: BTreeSet<(usize, u64)>,
    /// The epoch it leads in, and until when it may act without having renewed.
    lead: Option<(u64, Millis)>,
    api_cut_until: Millis,
}

/// What an autoscaler keeps of one revision.
#[derive(Debug)]
struct Keeper {
    scaler: Scaler,
    start: StartJudge,
    starting_since: Option<Millis>,
    failed: Option<Moment>,
    leader: Option<Leader>,
    held: BTreeMap<Arc<str>, (u32, Moment)>,
    ordering: bool,
    path_direct: bool,
    path_since: Moment,
    path_acknowledged: Option<Moment>,
    due: Millis,
    zero_wanted: bool,
    told_of: BTreeSet<Arc<str>>,
    replicas_told_of: BTreeMap<u64, Arc<str>>,
    /// Whose starts the scaler was told of.
    starts_told_of: BTreeSet<u64>,
    /// For the laws: when each activator's frames came, and when the last with something of this revision.
    heard: BTreeMap<Arc<str>, (Millis, Option<Millis>)>,
}

#[derive(Debug)]
struct Request {
    revision: usize,
    arrived: Millis,
    takes: Millis,
    /// The activator and its life; `None`: straight from a client.
    through: Option<(usize, Life)>,
    replica: Option<u64>,
    tries: u32,
    begun: bool,
}

#[derive(Debug)]
struct Lease {
    holder: Option<usize>,
    epoch: u64,
    renewed: Millis,
}

#[derive(Debug)]
pub(crate) struct Cluster {
    plan: Plan,
    now: Millis,
    queue: Queue<Event>,
    draw: fastrand::Rng,
    split: Split,
    workloads: Vec<Workload>,
    route: Route,
    activators: Vec<Activator>,
    autoscalers: Vec<Autoscaler>,
    lease: Lease,
    requests: BTreeMap<u64, Request>,
    next_request: u64,
    next_replica: u64,
    load: load::Source,
    api_out_until: Millis,
    wall_skew: i64,
    tally: Tally,
    tracing: bool,
    story: std::collections::VecDeque<String>,
    broke: Option<String>,
}

/// Tells something for the story of a violation; costs nothing unless a story is told.
macro_rules! tell {
    ($cluster:expr, $($text:tt)*) => {
        if $cluster.tracing {
            let line = format!($($text)*);
            $cluster.note(line);
        }
    };
}
use tell;

impl Cluster {
    pub(crate) fn new(plan: &Plan, tracing: bool) -> Self {
        let targets = plan.percents.iter().enumerate().map(|(number, percent)| Target {
            revision: format!("r{number}").into(),
            percent: Percent::new(*percent).unwrap_or_default(),
            tag: None,
        });
        let split = Split::new(targets.collect()).expect("a plan's percents add up to 100");
        let workload = |_| Workload {
            scale: plan.found.max(plan.policy.min.0),
            version: 1,
            replicas: Vec::new(),
            crashes_in_a_row: 0,
            starts_fail_until: 0,
        };
        let mut cluster = Self {
            now: 0,
            queue: Queue::new(),
            draw: fastrand::Rng::with_seed(plan.seed),
            split,
            workloads: (0..plan.percents.len()).map(workload).collect(),
            route: Route { direct: false, generation: 1, clients_go_direct: false, wished: false },
            activators: Vec::new(),
            autoscalers: Vec::new(),
            lease: Lease { holder: None, epoch: 0, renewed: 0 },
            requests: BTreeMap::new(),
            next_request: 0,
            next_replica: 0,
            load: load::Source::default(),
            api_out_until: 0,
            wall_skew: plan.skew,
            tally: Tally::default(),
            tracing,
            story: std::collections::VecDeque::new(),
            broke: None,
            plan: plan.clone(),
        };
        for revision in 0..cluster.workloads.len() {
            cluster.reconcile(revision, &[]);
        }
        for activator in 0..2 {
            cluster.activators.push(Activator::absent(activator));
        }
        for autoscaler in 0..2 {
            cluster.autoscalers.push(Autoscaler::absent());
            cluster.autoscaler_starts(autoscaler);
        }
        for activator in 0..2 {
            cluster.activator_starts(activator);
        }
        cluster.queue.plan(0, Event::LoadChanges);
        cluster.queue.plan(60_000, Event::EachMinute);
        if let Some(every) = plan.faults_every {
            cluster.queue.plan(every, Event::Fault);
        }
        cluster
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Result<Tally, Violation> {
        while let Some((at, event)) = self.queue.next() {
            if self.plan.length < at {
                break;
            }
            self.now = at;
            self.tally.events += 1;
            self.happen(event);
            if let Some(law) = self.broke.take() {
                return Err(self.violation(law));
            }
        }
        self.now = self.plan.length;
        self.at_the_end();
        if let Some(law) = self.broke.take() {
            return Err(self.violation(law));
        }
        for revision in 0..self.workloads.len() {
            for replica in std::mem::take(&mut self.workloads[revision].replicas) {
                self.tally.replica_millis += self.now - replica.created;
            }
        }
        Ok(self.tally)
    }

    fn violation(&mut self, law: String) -> Violation {
        Violation { seed: self.plan.seed, law, at: time_of_day(self.now), story: self.story.drain(..).collect() }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrival(),
            Event::LoadChanges => self.load_changes(),
            Event::Frame { activator, life } => self.frame(activator, life),
            Event::Wake { activator, life, revision } => self.wake(activator, life, revision),
            Event::Look { activator, life, revision } => self.look(activator, life, revision),
            Event::WaitEnds { request } => self.wait_ends(request),
            Event::AtReplica { request, tries } => self.at_replica(request, tries),
            Event::Done { request } => self.done(request),
            Event::Up { activator, autoscaler, stream, said } => self.heard_up(activator, autoscaler, stream, said),
            Event::Down { activator, autoscaler, stream, said } => self.heard_down(activator, autoscaler, stream, said),
            Event::StreamOpens { activator, autoscaler, stream } => self.stream_opens(activator, autoscaler, stream),
            Event::Sidecar { revision, replica } => self.sidecar(revision, replica),
            Event::Stats { autoscaler, life, revision, replica, reading } => {
                self.stats(autoscaler, life, revision, replica, reading);
            }
            Event::IdleQuestion { autoscaler, life, revision, replica, id } => {
                self.idle_question(autoscaler, life, revision, replica, id);
            }
            Event::IdleAnswer { autoscaler, life, revision, replica, id, idle } => {
                self.idle_answer(autoscaler, life, revision, replica, id, idle);
            }
            Event::Decide { autoscaler, life, revision } => self.decide_if_due(autoscaler, life, revision),
            Event::SealTime { autoscaler, life, revision } => self.seal_time(autoscaler, life, revision),
            Event::Order { autoscaler, life, revision, to, expect, whose, answered } => {
                self.order_arrives(autoscaler, life, revision, to, expect, whose, answered);
            }
            Event::Ordered { autoscaler, life, revision, whose, end } => {
                self.ordered(autoscaler, life, revision, whose, end);
            }
            Event::Read { autoscaler, life, revision, begun } => self.read(autoscaler, life, revision, begun),
            Event::Lease { autoscaler, life } => self.lease(autoscaler, life),
            Event::PathWish { direct } => self.path_changes(direct),
            Event::RouteKnown { activator, life, generation } => self.route_known(activator, life, generation),
            Event::ClientsKnow { generation, direct } => {
                if generation == self.route.generation {
                    self.route.clients_go_direct = direct;
                }
            }
            Event::StartEnds { revision, replica } => self.start_ends(revision, replica),
            Event::LooksEmpty { revision, replica } => self.looks_empty(revision, replica),
            Event::Fault => self.fault(),
            Event::ActivatorBack { activator } => self.activator_starts(activator),
            Event::AutoscalerBack { autoscaler } => self.autoscaler_starts(autoscaler),
            Event::EachMinute => self.each_minute(),
        }
    }

    fn note(&mut self, line: String) {
        if self.story.len() == STORY {
            self.story.pop_front();
        }
        self.story.push_back(format!("{} {line}", time_of_day(self.now)));
    }
}

fn time_of_day(at: Millis) -> String {
    let seconds = at / 1_000;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60, at % 1_000)
}

/// The ending as the activators' side calls it.
fn ending(ending: kpa::seal::Ending) -> Ending {
    match ending {
        kpa::seal::Ending::Committed => Ending::Committed,
        kpa::seal::Ending::Released => Ending::Released,
    }
}
