//! Serves a plan, and each one that follows it: the platform, an autoscaler and an activator in one process.
//!
//! They speak over real sockets on loopback, with the same frames as in a cluster. Leaving goes from the outside in: the
//! activator takes nothing new and finishes what it holds, with everything else still at work for it; then the replicas
//! are drained and ended; then the rest.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use activator::{Activator, Budget, ByClass};
use anyhow::Context as _;
use autoscaler::Autoscaler;
use daemon::{Admin, Clock, Draining, Listener, Stop, Targets, Tasks};
use local::LocalPlatform;
use platform::{ActivatorPod, Leadership};
use prometheus::Registry;
use tokio::sync::{oneshot, watch};
use tracing::{Level, info, warn};

use super::follow::Follower;
use super::plan::{Plan, url};
use crate::allocator;

/// How long what is in flight is given after the first Ctrl-C: the default of a request's time-out. Who cannot wait
/// presses it again.
const GRACE: Duration = Duration::from_secs(300);

/// Beyond it, for the activator to cut what has not ended by then.
const CLOSING: Duration = Duration::from_secs(10);

/// One activator, in this process.
const ACTIVATOR: &str = "activator";

/// What `LOG` says unless it is set. The three programs that are one here also speak of each other; that is for who
/// looks after them apart. How replicas are, the platform says, by name.
pub(crate) fn usual_levels() -> Targets {
    let quieter = [
        ("activator::directory", Level::WARN),
        ("activator::report", Level::WARN),
        ("autoscaler::hub", Level::WARN),
        ("autoscaler::streams", Level::WARN),
        ("queue_proxy", Level::ERROR),
    ];
    Targets::new().with_default(Level::INFO).with_targets(quieter)
}

/// What holds for the whole program, whatever the plan.
pub(crate) struct Settings {
    pub(crate) autoscaler: autoscaler::Config,
    /// Bytes that requests may take while they wait.
    pub(crate) memory_budget: u64,
}

impl Settings {
    /// What holds unless somebody says otherwise.
    pub(crate) fn usual() -> Self {
        Self { autoscaler: autoscaler::Config::usual(), memory_budget: daemon::memory_limit() / 2 }
    }
}

/// Where it is said what goes on.
pub(crate) struct Outlet {
    /// What replicas print.
    pub(crate) replicas: Box<dyn std::io::Write + Send>,
    /// Whether that may have colours.
    pub(crate) colour: bool,
    /// Who is told where requests are taken.
    pub(crate) addresses: Tell,
}

/// Who is told where requests are taken, once they are.
pub(crate) enum Tell {
    /// The person at the terminal, and the scripts that read this file.
    People { announce: Option<PathBuf> },
    /// The part of this program that asked.
    Caller(oneshot::Sender<Addresses>),
}

/// Serves until it is told to stop.
///
/// # Errors
/// If a port is taken meanwhile, or a part of the program fails.
pub(crate) async fn serve(plan: Plan, settings: Settings, follower: Follower, outlet: Outlet) -> anyhow::Result<()> {
    // Before anything else exists, so that whatever exists is ended in order.
    let stop = Stop::on_signals().context("listening for signals")?;
    stop.guard(async |draining| up(plan, settings, follower, outlet, draining).await).await
}

/// The same, until `draining` begins.
///
/// # Errors
/// As for [`serve`].
pub(crate) async fn up(
    plan: Plan,
    settings: Settings,
    mut follower: Follower,
    outlet: Outlet,
    draining: Draining,
) -> anyhow::Result<()> {
    if let Err(error) = allocator::give_back_while_idle() {
        warn!(%error, "what a burst takes goes back late: there is no thread for it");
    }
    let Outlet { replicas, colour, addresses: told } = outlet;
    let Settings { autoscaler, memory_budget } = settings;
    let budget = Budget::new(memory_budget);
    let clock = Clock::start();
    let registry = Registry::new();
    daemon::register_build_info(&registry, "rouse", env!("CARGO_PKG_VERSION"))?;

    // Every port first: that one is taken should be the first thing anyone hears.
    let admin = Admin::bind(plan.admin).context("--admin")?;
    let streams = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let activator = activator(&plan, streams.address(), &budget, clock, &registry)?;
    follower.bound(activator.address(), admin.address());

    let platform = local_platform(streams.address(), replicas, colour, budget, clock);
    // There is nobody else to lead; kept to the end, as a leadership that nobody speaks for is a lost one.
    let (_leader, leadership) = watch::channel(Leadership::ALONE);
    let seams =
        autoscaler::Platform { catalogue: platform.catalogue(), actuator: Arc::new(platform.clone()), leadership };
    let autoscaler = Autoscaler::on(streams, autoscaler, seams, clock, &registry)?;
    let addresses = Addresses { listen: activator.address(), admin: admin.address() };
    let (synced, readiness) = (activator.synced(), activator.readiness());
    let told_here = daemon::from_loopback_only(autoscaler.admin_routes().merge(activator.admin_routes()));
    let routes = daemon::basic_routes(registry, readiness).merge(told_here);

    platform.apply(plan.described.clone());
    let mut tasks = Tasks::new();
    tasks.data(ACTIVATOR, activator.run(platform.catalogue(), tasks.draining()));
    tasks.support("autoscaler", autoscaler.run());
    tasks.support("admin", admin.serve(routes));
    tasks.support("files", follow(follower, platform.clone(), matches!(told, Tell::People { .. })));
    tasks.support("addresses", addresses.tell(synced, plan, told));

    let ended = tasks.run(draining.begun(), GRACE + CLOSING).await;
    info!("ending the replicas");
    platform.shutdown().await;
    ended
}

fn activator(
    plan: &Plan,
    streams: SocketAddr,
    budget: &Budget,
    clock: Clock,
    registry: &Registry,
) -> anyhow::Result<Activator> {
    let config = activator::Config {
        namespace: "default".into(),
        name: ACTIVATOR.into(),
        uid: ACTIVATOR.into(),
        listen: plan.listen,
        autoscalers: activator::fixed_autoscalers([streams]),
        autoscaler_trust: None,
        cluster_domain: "cluster.local".into(),
        alone_answers_every_host: true,
        sidecar_tls: None,
        plain_sidecars: true,
        budget: budget.clone(),
        // Whoever could still be on the way here is a person's own client, and that person has pressed Ctrl-C.
        quiet: Duration::ZERO,
        drain: ByClass::all(GRACE),
    };
    let metrics = activator::Metrics::register(registry, budget).context("the activator's metrics")?;
    // The leader lives and dies with this process, so no promise of an earlier activator can be open.
    Activator::bind(config, clock, metrics, None).context("--listen")
}

fn local_platform(
    streams: SocketAddr,
    shown_on: Box<dyn std::io::Write + Send>,
    colour: bool,
    budget: Budget,
    clock: Clock,
) -> LocalPlatform {
    let options = local::Options {
        keeper: local::THIS_PROGRAM.into(),
        shown_on,
        colour,
        activators: vec![ActivatorPod { name: ACTIVATOR.into(), uid: ACTIVATOR.into(), out_since: None }],
        autoscalers: vec![streams],
        budget,
    };
    LocalPlatform::new(options, clock)
}

/// Puts each new version of the files in force, and shows it to people.
async fn follow(mut follower: Follower, platform: LocalPlatform, for_people: bool) -> anyhow::Result<Infallible> {
    loop {
        let plan = follower.next().await;
        platform.apply(plan.described.clone());
        info!("the changed files are in force");
        if for_people {
            show(&plan);
        }
    }
}

/// Where requests are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// The port that all endpoints share.
    pub(crate) listen: SocketAddr,
    /// The admin port.
    pub(crate) admin: SocketAddr,
}

impl Addresses {
    /// Once requests are taken, tells where.
    async fn tell(self, mut synced: watch::Receiver<bool>, plan: Plan, told: Tell) -> anyhow::Result<Infallible> {
        synced.wait_for(|synced| *synced).await.context("the activator ended")?;
        match told {
            Tell::People { announce } => {
                self.say(&plan);
                if let Some(file) = announce {
                    self.announce(&file)?;
                }
            }
            // Who does not wait for it any more is leaving.
            Tell::Caller(caller) => drop(caller.send(self)),
        }
        std::future::pending().await
    }

    /// For people, on stderr beside the replicas' lines.
    fn say(&self, plan: &Plan) {
        let plan = Plan { listen: self.listen, admin: self.admin, ..plan.clone() };
        show(&plan);
        let usual = self.admin == SocketAddr::from((Ipv4Addr::LOCALHOST, 8090));
        let admin = if usual { String::new() } else { format!(" --admin {}", url(self.admin)) };
        let next =
            format!("waiting for requests; look at {}, or in another terminal: rouse why{admin}\n", url(self.admin));
        let _ = std::io::stderr().lock().write_all(next.as_bytes());
    }

    /// For scripts: all at once, so that nobody reads half of it.
    fn announce(&self, file: &Path) -> anyhow::Result<()> {
        let said = serde_json::json!({ "listen": url(self.listen), "admin": url(self.admin) });
        let unfinished = file.with_extension("unfinished");
        std::fs::write(&unfinished, said.to_string())
            .and_then(|()| std::fs::rename(&unfinished, file))
            .with_context(|| format!("--announce {}", file.display()))
    }
}

/// What is served, and where.
fn show(plan: &Plan) {
    // Who closed stderr does not want to know.
    let _ = std::io::stderr().lock().write_all(plan.describe().as_bytes());
}
