//! The activator on a cluster: its settings, and what is wired to what.
//!
//! Leaving goes from the outside in: unready and out of every path, then what is in flight and what is held, with the
//! watches and the streams to the autoscalers still at work for it; then the rest.

mod credentials;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use activator::{Activator, Budget, Metrics};
use anyhow::Context as _;
use breaker::seal::LONGEST_TTL;
use daemon::{Admin, Clock, Draining, Readiness, Stop, Tasks, Unavailable};
use kubernetes::{Cluster, Program};
use prometheus::Registry;
use tracing::{info, warn};

use credentials::Credentials;
pub(crate) use settings::{ABOUT, Launch, Settings};

/// Beyond the longest limit of leaving, for the activator to cut what has not ended by then.
const CLOSING: Duration = Duration::from_secs(5);

/// Serves until it is told to stop.
///
/// # Errors
/// If a port is taken, there is no cluster, or a part of the program fails.
pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    let stop = Stop::on_signals().context("listening for signals")?;
    stop.guard(async |draining| serve(settings, draining).await).await
}

async fn serve(settings: Settings, draining: Draining) -> anyhow::Result<()> {
    let Settings { site, listen, admin_listen, memory_budget, token, quiet, drain } = settings;
    let clock = Clock::start();
    let budget = Budget::new(memory_budget);
    let registry = Registry::new();
    daemon::register_build_info(&registry, ABOUT.program, ABOUT.version)?;
    let metrics = Metrics::register(&registry, &budget).context("the activator's metrics")?;

    // Every port first: that one is taken should be the first thing anyone hears.
    let admin = Admin::bind(admin_listen).context("the admin port (ADMIN_LISTEN)")?;
    let cluster = Cluster::connect(site.clone(), clock).await.map_err(|error| Unavailable(format!("{error:#}")))?;
    let trust = Credentials::waiting(token);
    if site.plaintext {
        warn!(
            "speaks plain TCP with sidecars that have no AUTOSCALER_CA: keep others away from their port for activators, or take \
             PLAINTEXT out here and of the autoscalers once every sidecar has it"
        );
    }
    let config = activator::Config {
        namespace: site.namespace,
        name: site.pod_name,
        uid: site.pod_uid,
        listen,
        autoscalers: cluster.autoscalers(),
        autoscaler_trust: Some(trust.autoscalers.clone()),
        cluster_domain: site.cluster_domain,
        alone_answers_every_host: false,
        sidecar_tls: Some(trust.sidecars.clone()),
        plain_sidecars: site.plaintext,
        budget,
        quiet,
        drain,
    };
    // The one that was here before may have promised something. It is not in the way of a request that another activator
    // can take: until then this one is not ready.
    let hold_until = clock.now().plus(LONGEST_TTL);
    let activator =
        Activator::bind(config, clock, metrics, Some(hold_until)).context("the port for clients (LISTEN)")?;
    info!(clients = %activator.address(), admin = %admin.address(), "serving");

    let knows = activator.readiness();
    let readiness: Readiness = Arc::new(move || {
        knows()?;
        let left = hold_until.since(clock.now());
        if left.is_zero() { Ok(()) } else { Err(format!("holding everything for another {left:.1?} after its start")) }
    });
    let told_here = daemon::from_loopback_only(activator.admin_routes());
    let mut tasks = Tasks::new();
    tasks.data("activator", activator.run(cluster.catalogue(), tasks.draining()));
    let showing = cluster.clone();
    tasks.support("credentials", async move { Ok(showing.follow_credentials(|is| trust.take(is)).await) });
    tasks.support("cluster", async move { cluster.follow(Program::Activator).await });
    tasks.support("admin", admin.serve(daemon::basic_routes(registry, readiness).merge(told_here)));
    tasks.run(draining.begun(), drain.most() + CLOSING).await
}
