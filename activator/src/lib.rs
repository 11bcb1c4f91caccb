//! The activator stands in front: it finds the endpoint, picks the revision, holds the request in a bounded line until a
//! replica has room, picks the replica, forwards, and reports demand.
//!
//! In reading order: `service` (the request path, top to bottom), `hold` and `visit` (one revision's line), `served` and
//! `routes` (which endpoint, which revision), `way` (which other one if that cannot be woken), `shadow` (copies of
//! requests, and answers compared), `fleet` and `probe` (which replicas answer), `directory` (what is known), `report` and
//! `wakes` (what autoscalers are told), `doors` (listeners), `cookie`, `timing`, `metrics`, `config`.
//!
//! It sees the world through `platform::Catalogue` and nothing else. How many replicas there should be is not its
//! business: it says what is held, and the autoscaler decides.

mod config;
mod cookie;
mod directory;
mod doors;
#[cfg(test)]
mod fixtures;
mod fleet;
mod hold;
mod metrics;
mod probe;
mod replica;
mod report;
mod routes;
mod served;
mod service;
mod shadow;
mod tally;
mod timing;
mod visit;
mod wakes;
mod way;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use admin::ShadowList;
use anyhow::Context as _;
use axum::routing::get;
use axum::{Json, Router};
use daemon::{Clock, Draining, Listener, Readiness};
use platform::Catalogue;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use units::Moment;

pub use breaker::Budget;
pub use config::{Autoscalers, Config, fixed_autoscalers};
pub use forward::ByClass;
pub use metrics::{Metrics, every_metric};

use crate::directory::{Directory, Follower};
use crate::doors::Doors;

/// An activator whose shared port is bound, and that serves nothing yet.
pub struct Activator {
    directory: Arc<Directory>,
    shared: Listener,
}

impl Activator {
    /// Binds the shared port.
    ///
    /// `hold_until`: nothing is forwarded before, where an activator may have run in this one's place before and have
    /// made promises ([`breaker::Seal::new`]); `None` where the leader lives and dies in the same process.
    ///
    /// # Errors
    /// If the port cannot be had; the fault names it and who likely has it.
    pub fn bind(
        config: Config,
        clock: Clock,
        metrics: Metrics,
        hold_until: Option<Moment>,
    ) -> Result<Self, daemon::BindFault> {
        let shared = Listener::bind(config.listen)?;
        Ok(Self { directory: Arc::new(Directory::new(config, clock, metrics, hold_until)), shared })
    }

    /// Where the shared port is.
    pub fn address(&self) -> SocketAddr {
        self.shared.address()
    }

    /// Whether every endpoint that exists is known. Until then a request for an unknown host is refused, as it may only
    /// be unknown yet.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.directory.synced()
    }

    /// Whether it should be in any path: it knows every endpoint, and is not leaving.
    pub fn readiness(&self) -> Readiness {
        let (directory, synced) = (Arc::clone(&self.directory), self.synced());
        Arc::new(move || match (directory.is_leaving(), *synced.borrow()) {
            (true, _) => Err("leaving".to_owned()),
            (false, false) => Err("the endpoints are not known yet".to_owned()),
            (false, true) => Ok(()),
        })
    }

    /// What it adds to the admin port: `/api/v1/shadows`. Whoever serves it lets in loopback only, or asks for a token.
    pub fn admin_routes(&self) -> Router {
        let directory = Arc::clone(&self.directory);
        let shadows = move || {
            let list = ShadowList { shadows: directory.shadows.shown() };
            async move { Json(list) }
        };
        Router::new().route("/api/v1/shadows", get(shadows))
    }

    /// Serves until draining begins, then leaves: unready at once, out of every path, and then what is in flight and what
    /// is held is finished within `config.drain`. What serves the requests (the catalogue, the streams to the
    /// autoscalers) ends after the last of them.
    ///
    /// # Errors
    /// If the catalogue ends.
    pub async fn run(self, catalogue: Arc<dyn Catalogue>, draining: Draining) -> anyhow::Result<()> {
        let (own_ports, orders) = mpsc::unbounded_channel();
        let mut support: JoinSet<anyhow::Result<Infallible>> = JoinSet::new();
        support.spawn(Follower::new(Arc::clone(&self.directory), own_ports).run(catalogue));
        support.spawn(report::keep_all(Arc::clone(&self.directory)));
        let doors = Doors::new(self.directory).run(self.shared, orders, draining);
        tokio::select! {
            ended = doors => ended,
            Some(failed) = support.join_next() => match failed.context("a task of the activator panicked")? {
                Err(error) => Err(error),
            },
        }
    }
}
