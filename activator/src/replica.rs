//! One replica as this activator reaches it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use balance::ReplicaId;
use forward::tls::ClientTls;
use forward::{Pool, PoolOptions, Protocol};
use platform::UpstreamProtocol;
use units::Moment;

/// One replica, with its own connections. They end with it.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) id: ReplicaId,
    pub(crate) name: Arc<str>,
    pub(crate) address: SocketAddr,
    pub(crate) settings: UpstreamSettings,
    /// Whether a queue-proxy answers at the address: it can be asked, and is believed when it says *not started*.
    pub(crate) sidecar: bool,
    /// How its sidecar is spoken to; `None` also where there is none.
    pub(crate) tls: Option<ClientTls>,
    /// Whether it refused a request since it last answered one.
    pub(crate) refused: AtomicBool,
    http1: Pool,
    h2c: Pool,
    /// When the catalogue first told of it with an address.
    pub(crate) seen: Moment,
    ready: OnceLock<Moment>,
}

/// How replicas of a revision are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamSettings {
    pub(crate) protocol: UpstreamProtocol,
}

impl UpstreamSettings {
    pub(crate) const HTTP1: Self = Self { protocol: UpstreamProtocol::Http1 };
}

impl Replica {
    pub(crate) fn new(
        id: ReplicaId,
        name: Arc<str>,
        address: SocketAddr,
        settings: UpstreamSettings,
        sidecar: bool,
        tls: Option<ClientTls>,
        seen: Moment,
    ) -> Self {
        // A model knows nothing of our certificates.
        let tls = tls.filter(|_| sidecar);
        let options = |protocol| PoolOptions { tls: tls.clone(), pings: sidecar, ..PoolOptions::nearby(protocol) };
        let pool = |protocol| Pool::new(address, options(protocol));
        let (http1, h2c) = (pool(Protocol::Http1), pool(Protocol::H2c));
        let (refused, ready) = (AtomicBool::new(false), OnceLock::new());
        Self { id, name, address, settings, sidecar, tls, refused, http1, h2c, seen, ready }
    }

    /// Its connections of this kind.
    pub(crate) fn pool(&self, protocol: Protocol) -> &Pool {
        match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::H2c => &self.h2c,
        }
    }

    pub(crate) fn became_ready(&self, now: Moment) {
        let _ = self.ready.set(now);
    }

    /// When it first answered that it is ready; `None` while it has not.
    pub(crate) fn ready(&self) -> Option<Moment> {
        self.ready.get().copied()
    }
}
