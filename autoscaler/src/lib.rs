//! Computes replicas from what is in flight and orders them.
//!
//! It judges nothing: how many replicas, which path, and whether a revision may go to zero are `kpa`'s to say. In
//! reading order:
//! - `streams`: activators and sidecars connect and say what they hold and count; `peers` knows who is connected, and
//!   `inbox` is the way to the revision that something is about;
//! - `hub` follows what exists, with a task for each revision (`revision`: hear, decide, have it done; `sealing`: the way
//!   to zero; `orders`: what is under way) and for each endpoint (`routes`: who is in its path);
//! - `settings` turns layers of text into the policy in force, live;
//! - `ring`, `series`, `outcomes`, `shelf` and `admin`: what is kept and shown, because nothing that scales may be unexplained.
//!
//! A follower hears and decides all the same, so that its windows are full when it comes to lead; it orders nothing.

mod admin;
mod config;
mod endpoints;
mod ground;
mod held;
mod hub;
mod inbox;
mod metrics;
mod orders;
mod outcomes;
mod peers;
mod revision;
mod ring;
mod roster;
mod routes;
mod series;
mod settings;
mod shelf;
#[cfg(test)]
mod stage;
mod streams;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use daemon::{Clock, Listener};
use platform::{Actuator, Catalogue, Leadership};
use tokio::sync::watch;
use units::EndpointKey;

pub use config::Config;
pub use metrics::{Metrics, every_metric};
pub use streams::trust::{Certify, Signer, Trust, WhoHolds};

use crate::endpoints::Endpoints;
use crate::ground::Ground;
use crate::hub::Ends;
use crate::inbox::Inboxes;
use crate::peers::Peers;
use crate::shelf::Shelf;
use crate::streams::Streams;
use crate::streams::trust::Gate;

/// The world an autoscaler works in.
pub struct Platform {
    /// What exists.
    pub catalogue: Arc<dyn Catalogue>,
    /// Makes it so.
    pub actuator: Arc<dyn Actuator>,
    /// Does this autoscaler lead? A follower hears everything and orders nothing.
    pub leadership: watch::Receiver<Leadership>,
}

/// An autoscaler that has its port and does nothing yet.
pub struct Autoscaler {
    ground: Ground,
    catalogue: Arc<dyn Catalogue>,
    ends: Ends,
    listener: Listener,
    gate: Option<Arc<Gate>>,
}

impl Autoscaler {
    /// Does nothing yet, on a port that is taken already: on one machine the platform must know the address before there
    /// can be an autoscaler over it. `clock` is the one that the platform's moments are made by.
    ///
    /// # Errors
    /// If a metric of its names is there already.
    pub fn on(
        listener: Listener,
        config: Config,
        platform: Platform,
        clock: Clock,
        registry: &prometheus::Registry,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::register(registry).context("the autoscaler's metrics")?;
        let Platform { catalogue, actuator, leadership } = platform;
        let (ground, ends) = lay_ground(config, &*catalogue, actuator, leadership, clock, metrics);
        Ok(Self { ground, catalogue, ends, listener, gate: None })
    }

    /// With streams in TLS, on which everyone proves who it is. Without, all are plain TCP and everyone is believed: for
    /// loopback.
    #[must_use]
    pub fn trusting(self, trust: Trust) -> Self {
        Self { gate: Some(Arc::new(Gate::new(trust))), ..self }
    }

    /// Where activators and sidecars are to connect.
    pub fn streams_address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The highest epoch that an activator has seen. Whoever elects must lead with no lower one; until then this
    /// autoscaler orders nothing.
    pub fn highest_epoch(&self) -> watch::Receiver<u64> {
        self.ground.highest.subscribe()
    }

    /// What it adds to the admin port: `/api/v1/…`. Whoever serves it lets in loopback only, or asks for a token.
    pub fn admin_routes(&self) -> Router {
        admin::routes(self.ground.clone())
    }

    /// What it tells of endpoints, also while it works.
    pub fn teller(&self) -> Teller {
        Teller(self.ground.clone())
    }

    /// Works for as long as it is polled. A support task: it serves requests that are held elsewhere.
    ///
    /// # Errors
    /// If the platform ended.
    pub async fn run(self) -> anyhow::Result<Infallible> {
        let Self { ground, catalogue, ends, listener, gate } = self;
        let streams = Streams {
            peers: Arc::clone(&ground.peers),
            inboxes: Arc::clone(&ground.inboxes),
            epoch: ground.epoch.clone(),
            clock: ground.clock,
            metrics: ground.metrics.clone(),
            gate,
            patience: ground.config.peer_patience,
            silence: ground.config.peer_silence,
        };
        tokio::select! {
            end = streams.serve(listener) => end,
            end = hub::follow(ground, catalogue, ends) => end,
        }
    }
}

/// What an autoscaler tells of endpoints: the same as under `/api/v1`. Cheap to clone.
#[derive(Clone)]
pub struct Teller(Ground);

impl Teller {
    /// What it knows of one; `None` where it does not exist, or was not heard of yet.
    pub fn endpoint(&self, key: &EndpointKey) -> Option<api::admin::Endpoint> {
        let endpoint = self.0.endpoints.get(key)?;
        Some(admin::endpoint_as_shown(&self.0, &endpoint))
    }
}

/// Everything that tasks share, and the ends that the hub writes to.
fn lay_ground(
    config: Config,
    catalogue: &dyn Catalogue,
    actuator: Arc<dyn Actuator>,
    leadership: watch::Receiver<Leadership>,
    clock: Clock,
    metrics: Metrics,
) -> (Ground, Ends) {
    let (epoch_end, epoch) = watch::channel(None);
    let (cluster_end, cluster) = watch::channel(None);
    let ground = Ground {
        config: Arc::new(config),
        clock,
        metrics,
        peers: Arc::new(Peers::new()),
        inboxes: Arc::new(Inboxes::new()),
        endpoints: Arc::new(Endpoints::new()),
        shelf: Arc::new(Shelf::new()),
        actuator,
        leadership,
        epoch,
        highest: watch::Sender::new(0),
        leaders: Arc::default(),
        activators: catalogue.activators(),
        cluster,
    };
    (ground, Ends { epoch: epoch_end, cluster: cluster_end })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpStream;
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;
    use crate::stage::toy::{World, until, v1};
    use crate::stage::{Peer, wake};

    #[tokio::test]
    async fn a_wake_over_a_real_socket_is_an_order() {
        let clock = Clock::start();
        let world = Arc::new(World::new(clock));
        world.add_activator("a");
        let (_leads, leadership) = watch::channel(Leadership::ALONE);
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let platform = Platform { catalogue: world.boards(), actuator: world.clone(), leadership };
        let registry = prometheus::Registry::new();
        let autoscaler = Autoscaler::on(listener, Config::usual(), platform, clock, &registry).unwrap();
        let address = autoscaler.streams_address();
        let shelf = Arc::clone(&autoscaler.ground.shelf);
        let mut tasks = JoinSet::new();
        tasks.spawn(autoscaler.run());

        let connection = TcpStream::connect(address).await.unwrap();
        let mut activator = Peer::activator(connection, "a").await;
        let leads = wire::Down::Lead(wire::Lead { leading: true, epoch: 1 });
        assert_eq!(timeout(Duration::from_secs(10), activator.next()).await, Ok(Some(leads)));
        until("the revision has its task", || shelf.get(&v1()).is_some()).await;
        activator.say(wire::Up::Wake(wake("v1", 1))).await;
        let ordered = async {
            while world.replicas() == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), ordered).await.unwrap();
        assert_eq!(world.orders(), [1]);
    }
}
