//! The autoscaler on a cluster: its settings, and what is wired to what.
//!
//! Each copy hears everything and is ready, so that streams come to all of them; the one that has the Lease orders. When
//! it is told to stop it lets the Lease go first, so that another one leads within a second.

mod settings;
mod trusting;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use autoscaler::{Autoscaler, Platform};
use daemon::{Admin, Clock, Draining, Listener, Readiness, Stop, Tasks, Unavailable};
use kubernetes::{Cluster, Program};
use platform::{Catalogue as _, Leadership};
use prometheus::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use settings::{ABOUT, Launch, Settings};

/// For letting the Lease go: a call or two, a second each at most.
const CLOSING: Duration = Duration::from_secs(3);

/// Works until it is told to stop.
///
/// # Errors
/// If a port is taken, there is no cluster, or a part of the program fails.
pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    let stop = Stop::on_signals().context("listening for signals")?;
    stop.guard(async |draining| work(settings, draining).await).await
}

async fn work(settings: Settings, draining: Draining) -> anyhow::Result<()> {
    let Settings {
        site,
        streams_listen,
        admin_listen,
        admin_token,
        startup_aware,
        timing,
        webhook_listen,
        sidecar_image,
    } = settings;
    let clock = Clock::start();
    let registry = Registry::new();
    daemon::register_build_info(&registry, ABOUT.program, ABOUT.version)?;

    // Every port first: that one is taken should be the first thing anyone hears.
    let admin = Admin::bind(admin_listen).context("the admin port (ADMIN_LISTEN)")?;
    let streams = Listener::bind(streams_listen).context("the port for streams (STREAMS_LISTEN)")?;
    let webhook = Listener::bind(webhook_listen).context("the port of the webhook (WEBHOOK_LISTEN)")?;
    let (namespace, plaintext) = (Arc::clone(&site.namespace), site.plaintext);
    let cluster = Cluster::connect(site, clock).await.map_err(|error| Unavailable(format!("{error:#}")))?;
    let (leads, leadership) = watch::channel(Leadership::Following);
    let platform = Platform {
        catalogue: cluster.catalogue(),
        actuator: cluster.actuator(leadership.clone()),
        leadership: leadership.clone(),
    };
    let config = autoscaler::Config { startup_aware, ..autoscaler::Config::usual() };
    let mut tasks = Tasks::new();
    let (trust, keeping) = trusting::trust(&cluster, namespace, plaintext, clock);
    let autoscaler = Autoscaler::on(streams, config, platform, clock, &registry)?.trusting(trust);
    tasks.support("trust", keeping.run());
    if plaintext {
        warn!(
            "plain TCP is taken too, and who speaks it is believed: keep others away from this port, or take PLAINTEXT \
             out here and of the activators once every sidecar has AUTOSCALER_CA"
        );
    }
    info!(streams = %autoscaler.streams_address(), admin = %admin.address(), "working");

    let private = daemon::from_loopback_or_with(autoscaler.admin_routes(), admin_token);
    let routes = daemon::basic_routes(registry, readiness(&cluster)).merge(private);
    let (teller, highest) = (autoscaler.teller(), autoscaler.highest_epoch());

    let (electing, following, keeping) = (cluster.clone(), cluster.clone(), cluster.clone());
    let (led, hooked, injecting) = (leadership.clone(), leadership.clone(), cluster.clone());
    tasks.data("election", elect(electing, leads, highest, tasks.draining()));
    tasks.support("cluster", async move { following.follow(Program::Autoscaler).await });
    tasks.support("autoscaler", autoscaler.run());
    tasks.support("authority", async move { keeping.keep_authority(led, timing).await });
    tasks.support("webhook", async move { injecting.webhook(webhook, &sidecar_image, hooked).await });
    tasks.support("steward", async move { cluster.steward(leadership, move |key| teller.endpoint(key)).await });
    tasks.support("admin", admin.serve(routes));
    tasks.run(draining.begun(), CLOSING).await
}

/// Takes part in the election until draining begins, then lets the Lease go.
async fn elect(
    cluster: Cluster,
    leads: watch::Sender<Leadership>,
    highest: watch::Receiver<u64>,
    draining: Draining,
) -> anyhow::Result<()> {
    let leave = CancellationToken::new();
    let mut election = std::pin::pin!(cluster.elect(leads, highest, leave.clone()));
    tokio::select! {
        ended = &mut election => return ended,
        () = draining.begun() => leave.cancel(),
    }
    election.await
}

/// Ready once it knows what exists: from then on it could lead. A standby is ready too, as streams go to both.
fn readiness(cluster: &Cluster) -> Readiness {
    let catalogue = cluster.catalogue();
    let (activators, config) = (catalogue.activators(), catalogue.config());
    Arc::new(move || match (activators.borrow().is_some(), config.borrow().is_some()) {
        (true, true) => Ok(()),
        (false, _) => Err("the activators are not known yet".to_owned()),
        (_, false) => Err("config-autoscaler has not been read yet".to_owned()),
    })
}
