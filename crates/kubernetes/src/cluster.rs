//! What a program has of the cluster.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon::Clock;
use platform::Boards;
use tokio::sync::watch;

use crate::authority::Authority;
use crate::site::Site;
use crate::world::World;

/// Once a call has been sent to the API server, this long is waited for its answer where a person or a request waits for
/// what comes of it: orders for replicas, and the Lease.
pub(crate) const PROMPT: Duration = Duration::from_secs(1);

/// The cluster as one program sees it. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) site: Arc<Site>,
    pub(crate) clock: Clock,
    /// Tries again by itself, for up to minutes: for what is only late then. Watches, Services, status.
    pub(crate) patient: kube::Client,
    /// Never tries again, so that each call ends within [`PROMPT`] by the caller's own limit: scale and Lease.
    pub(crate) prompt: kube::Client,
    pub(crate) world: Arc<World>,
    pub(crate) boards: Arc<Boards>,
    /// Who signs, as it was last read.
    pub(crate) authority: Arc<watch::Sender<Option<Arc<Authority>>>>,
}

impl Cluster {
    /// A cluster about which nothing is known yet: found by the pod's ServiceAccount, else by the kubeconfig of whoever runs
    /// it. `clock` is the one that all moments are made by. Sends nothing.
    ///
    /// # Errors
    /// If there is neither.
    pub async fn connect(site: Site, clock: Clock) -> anyhow::Result<Self> {
        let config =
            kube::Config::infer().await.context("no cluster: neither a pod's ServiceAccount nor a kubeconfig")?;
        Self::with(config, site, clock)
    }

    /// The same, with a configuration that is there already.
    ///
    /// # Errors
    /// If its certificates cannot be used.
    pub fn with(config: kube::Config, site: Site, clock: Clock) -> anyhow::Result<Self> {
        let mut prompt = config.clone();
        prompt.default_retry = false;
        prompt.connect_timeout = Some(PROMPT);
        let client = |config| kube::Client::try_from(config).context("the client of the API server");
        Ok(Self {
            site: Arc::new(site),
            clock,
            patient: client(config)?,
            prompt: client(prompt)?,
            world: Arc::new(World::new()),
            boards: Arc::new(Boards::new()),
            authority: Arc::default(),
        })
    }

    /// What exists. Empty, and not synced, until the watches are followed.
    pub fn catalogue(&self) -> Arc<Boards> {
        Arc::clone(&self.boards)
    }
}
