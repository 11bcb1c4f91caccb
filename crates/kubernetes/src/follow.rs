//! The watches, and what comes of them.
//!
//! `watching` keeps one watch, `scopes` says which there are, `drawing` puts on the boards what `picture` makes of what was
//! seen. The watches and the drawing know of each other only through `World`.

mod drawing;
mod scopes;
mod watching;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use tokio::sync::watch;

use crate::cluster::Cluster;

/// For whom is followed: what is watched differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Needs no Services of others, no scalers of others and no configuration.
    Activator,
    /// Needs all.
    Autoscaler,
}

impl Cluster {
    /// Watches, and puts what there is on the boards of [`Self::catalogue`]; runs as long as it is polled.
    ///
    /// A watch that fails is tried again within 2 s, for ever: what is on the boards stays meanwhile.
    ///
    /// # Errors
    /// None so far; whoever runs it asks for a result.
    pub async fn follow(&self, who: Program) -> anyhow::Result<Infallible> {
        let watches = pin!(scopes::keep(self, who));
        let drawing = pin!(drawing::keep(self, who));
        match select(watches, drawing).await {
            Either::Left((never, _)) | Either::Right((never, _)) => match never {},
        }
    }

    /// Where each autoscaler takes streams now. `None` until Rouse's own pods are known.
    pub fn autoscalers(&self) -> watch::Receiver<Option<Arc<[SocketAddr]>>> {
        self.world.autoscalers.subscribe()
    }
}

#[cfg(test)]
mod tests;
