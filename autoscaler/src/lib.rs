//! Computes replicas from what is in flight and orders them.
//!
//! In reading order: activators and sidecars connect ([`streams`]), are known while they are there ([`peers`]), and what
//! they say goes to the revision it is about ([`inbox`]). Nothing here judges: the rules are in `kpa`.

mod config;
mod inbox;
mod metrics;
mod peers;
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

pub use config::Config;
pub use metrics::Metrics;

use crate::inbox::Inboxes;
use crate::peers::Peers;
use crate::streams::Streams;

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
    config: Config,
    platform: Platform,
    clock: Clock,
    metrics: Metrics,
    listener: Listener,
    peers: Arc<Peers>,
    inboxes: Arc<Inboxes>,
}

impl Autoscaler {
    /// Takes its port. Must run inside a tokio runtime. `clock` is the one that the platform's moments are made by.
    ///
    /// # Errors
    /// If the port cannot be had, or a metric of its names is there already.
    pub fn bind(
        config: Config,
        platform: Platform,
        clock: Clock,
        registry: &prometheus::Registry,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::register(registry).context("the autoscaler's metrics")?;
        let listener = Listener::bind(config.streams)?;
        let (peers, inboxes) = (Arc::new(Peers::new()), Arc::new(Inboxes::new()));
        Ok(Self { config, platform, clock, metrics, listener, peers, inboxes })
    }

    /// Where activators and sidecars are to connect.
    pub fn streams_address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// What it adds to the admin port: `/api/v1/…`. Whoever serves it lets in loopback only, or asks for a token.
    pub fn admin_routes(&self) -> Router {
        Router::new()
    }

    /// Works for as long as it is polled. A support task: it serves requests that are held elsewhere.
    ///
    /// # Errors
    /// If one of its tasks ended, which none may.
    pub async fn run(self) -> anyhow::Result<Infallible> {
        let Self { config, platform, clock, metrics, listener, peers, inboxes } = self;
        let (_epoch, epoch) = watch::channel(match *platform.leadership.borrow() {
            Leadership::Following => None,
            Leadership::Leading { epoch, .. } => Some(epoch),
        });
        let streams = Streams {
            peers,
            inboxes,
            epoch,
            clock,
            metrics,
            patience: config.peer_patience,
            silence: config.peer_silence,
        };
        streams.serve(listener).await
    }
}
