//! The two seams between Rouse and the world it runs in.
//!
//! [`Catalogue`] says what exists; [`Actuator`] makes it so. Each has exactly two implementations: `local` (child
//! processes on one machine) and `kubernetes` (a cluster). The activator and the autoscaler see nothing else of the
//! world, so the code that decides does not know whom it is talking to.
//!
//! There is one channel per endpoint and per revision, never one giant snapshot: a change wakes who cares for that one
//! thing. Facts only: nothing here judges (whether a start has failed, who may go to zero), that is `kpa`'s.

mod actuator;
mod board;
mod boards;
mod endpoint;
mod holder;
mod revision;

pub use actuator::{Actuator, Leadership, Path, Route, RouteError, RouteOrder, ScaleError, ScaleOrder};
pub use board::{Board, Event, Feed};
pub use boards::Boards;
pub use endpoint::{Endpoint, OnUnavailable, PathPolicy, QueueLimits, Shadow, Target, Timeouts, UpstreamProtocol};
pub use holder::{Holder, Unproven};
pub use revision::{
    ActivatorPod, Layer, Replica, ReplicaState, Revision, Scale, ScaleVersion, Source, Trouble, Workload,
};

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use units::{EndpointKey, RevisionKey};

/// What exists: endpoints, their revisions, the activators, the configuration.
///
/// Every feed first tells everything that is there, then [`Event::Synced`], then each change. Until `Synced` absence
/// means nothing.
pub trait Catalogue: Send + Sync + 'static {
    /// Endpoints. Known from configuration, never from replicas seen.
    fn endpoints(&self) -> Feed<EndpointKey, Endpoint>;

    /// Revisions that an endpoint names, also those whose workload is missing.
    fn revisions(&self) -> Feed<RevisionKey, Revision>;

    /// Every activator whose pod exists, whether or not it is connected. `None` until they are known: an empty list
    /// would mean that nobody needs to be asked before a revision goes to zero.
    fn activators(&self) -> watch::Receiver<Option<Arc<[ActivatorPod]>>>;

    /// The data of the ConfigMap `config-autoscaler`, unparsed; empty if there is none. `None` until it has been read:
    /// deciding by the defaults for a moment could take away what the configuration keeps.
    fn config(&self) -> watch::Receiver<Option<Arc<BTreeMap<String, String>>>>;
}
