//! What an activator needs to run. Made by the program that embeds it; nothing in it is a string to be parsed later.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use breaker::Budget;
use daemon::tls::Proving;
use forward::ByClass;
use forward::tls::ClientTls;
use tokio::sync::watch;

/// Where autoscalers take streams now.
pub type Autoscalers = watch::Receiver<Option<Arc<[SocketAddr]>>>;

/// Autoscalers that neither come nor go.
pub fn fixed_autoscalers(addresses: impl Into<Arc<[SocketAddr]>>) -> Autoscalers {
    watch::channel(Some(addresses.into())).1
}

/// What an activator needs to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Namespace of its pod; `default` on one machine.
    pub namespace: Arc<str>,
    /// Name of its pod.
    pub name: Arc<str>,
    /// UID of its pod.
    pub uid: Arc<str>,
    /// Where the shared listener is: the one on which the Host decides.
    pub listen: SocketAddr,
    /// Every autoscaler's stream address, as they come and go; it speaks to all, the standby stays warm by it. `None`
    /// while they are not known.
    pub autoscalers: Autoscalers,
    /// How it knows them, and proves itself to them. `None`: plain TCP, which is for one machine.
    pub autoscaler_trust: Option<Proving>,
    /// The cluster's domain, `cluster.local` mostly; names under it are nobody's `hosts`.
    pub cluster_domain: Arc<str>,
    /// Whether an endpoint that is alone answers for every Host. For one machine.
    pub alone_answers_every_host: bool,
    /// Who it is to sidecars, and whom it takes for one. A clone is kept by whoever changes the certificates. `None`: plain
    /// TCP, which is for one machine; models without a sidecar are spoken to in plain TCP in any case.
    pub sidecar_tls: Option<ClientTls>,
    /// Whether sidecars that take plain TCP are spoken to in it all the same.
    pub plain_sidecars: bool,
    /// What requests may take while they wait, all together: shared with whatever else holds requests in this process.
    pub budget: Budget,
    /// How long it serves on when it leaves, once no path leads to it any more: proxies and resolvers hear of that late.
    /// 15 s on a cluster. Zero where all that leads to it ends with it: then nobody is waited for either.
    pub quiet: Duration,
    /// How long what is in flight or held is given when it leaves, each class from then on. More than `quiet`, and less
    /// than the grace of its pod.
    pub drain: ByClass<Duration>,
}
