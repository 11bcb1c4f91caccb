//! What the tasks of all revisions and endpoints share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use daemon::Clock;
use kpa::policy::Cluster;
use platform::{ActivatorPod, Actuator, Leadership};
use tokio::sync::watch;
use units::Moment;

use crate::config::Config;
use crate::endpoints::Endpoints;
use crate::inbox::Inboxes;
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::shelf::Shelf;

/// Shared by everybody; cheap to clone.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) peers: Arc<Peers>,
    pub(crate) inboxes: Arc<Inboxes>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) actuator: Arc<dyn Actuator>,
    /// As the platform says, renewals included: to be looked at, not to be woken by.
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// Of this leadership, if it is one that the peers accept. Changes seldom.
    pub(crate) epoch: watch::Receiver<Option<u64>>,
    /// The highest epoch that a peer has seen.
    pub(crate) highest: watch::Sender<u64>,
    /// Counts the seals' leaders that this program has begun, of all revisions.
    pub(crate) leaders: Arc<AtomicU64>,
    /// Every activator whose pod exists; `None` until they are known.
    pub(crate) activators: watch::Receiver<Option<Arc<[ActivatorPod]>>>,
    /// `config-autoscaler` as it counts; `None` until it has been read.
    pub(crate) cluster: watch::Receiver<Option<Arc<Cluster>>>,
}

impl Ground {
    /// The epoch of this leadership, and until when one may act by it.
    pub(crate) fn leading(&self) -> Option<(u64, Moment)> {
        let accepted = *self.epoch.borrow();
        match *self.leadership.borrow() {
            Leadership::Leading { epoch, until } if accepted == Some(epoch) => Some((epoch, until)),
            Leadership::Leading { .. } | Leadership::Following => None,
        }
    }
}
