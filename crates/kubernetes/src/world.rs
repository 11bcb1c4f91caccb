//! What the watches have seen, in small structs of our own: written by `follow`, read by everything else here.
//!
//! The catalogue's boards are made from it (`picture`); the leader's hands (`route`, `steward`) look things up in it. What
//! a write depends on is read anew from the API server all the same.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;
use units::{EndpointKey, RevisionKey};

use crate::objects::{Autoscaled, ConfigMap, Deployment, EndpointObject, OwnPod, Pod, Service, Slice};

/// A namespace and a name.
pub(crate) type Key = (Arc<str>, Arc<str>);

/// Everything seen. Shared by reference; each call is short, and none waits for the network.
#[derive(Debug)]
pub(crate) struct World {
    seen: RwLock<Seen>,
    /// Counts changes. Whoever follows looks at everything that is dirty since, see [`Self::changes`].
    changes: watch::Sender<u64>,
}

/// Everything seen, by kind.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Every `ModelEndpoint`, also those that are not understood.
    pub(crate) endpoints: BTreeMap<EndpointKey, Arc<EndpointObject>>,
    /// Deployments of namespaces that have an endpoint.
    pub(crate) deployments: BTreeMap<RevisionKey, Arc<Deployment>>,
    /// Pods of these namespaces, by namespace and name.
    pub(crate) pods: BTreeMap<Key, Arc<Pod>>,
    /// Services of these namespaces.
    pub(crate) services: BTreeMap<Key, Arc<Service>>,
    /// EndpointSlices of ours there.
    pub(crate) slices: BTreeMap<Key, Arc<Slice>>,
    /// HorizontalPodAutoscalers there: who else writes `replicas`.
    pub(crate) autoscaled: BTreeMap<Key, Arc<Autoscaled>>,
    /// Rouse's own pods, by name.
    pub(crate) own_pods: BTreeMap<Arc<str>, Arc<OwnPod>>,
    /// `config-autoscaler`; `None` until it was read, empty if there is none.
    pub(crate) config: Option<Arc<ConfigMap>>,
    /// Kinds, and namespaces of them, that have been listed in full at least once.
    pub(crate) listed: std::collections::BTreeSet<(Kind, Option<Arc<str>>)>,
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Endpoints,
    Deployments,
    Pods,
    Services,
    Slices,
    Autoscaled,
    OwnPods,
    Config,
}

impl World {
    /// Nothing has been seen.
    pub(crate) fn new() -> Self {
        Self { seen: RwLock::new(Seen::default()), changes: watch::Sender::new(0) }
    }

    /// Looks. Keep it short: watches wait meanwhile.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        at(&self.seen.read())
    }

    /// Changes what was seen, and wakes whoever follows.
    pub(crate) fn change<T>(&self, how: impl FnOnce(&mut Seen) -> T) -> T {
        let changed = how(&mut self.seen.write());
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        changed
    }

    /// Tells of changes. Several in a row are one.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// An endpoint as it was seen last.
    pub(crate) fn endpoint(&self, key: &EndpointKey) -> Option<Arc<EndpointObject>> {
        self.look(|seen| seen.endpoints.get(key).cloned())
    }

    /// A revision's Deployment as it was seen last.
    pub(crate) fn deployment(&self, key: &RevisionKey) -> Option<Arc<Deployment>> {
        self.look(|seen| seen.deployments.get(key).cloned())
    }

    /// The addresses of these activators, those that have one, by the UID of their pods.
    pub(crate) fn addresses_of(&self, uids: &[Arc<str>]) -> Vec<(Arc<str>, Vec<IpAddr>)> {
        self.look(|seen| {
            let of = |uid: &&Arc<str>| seen.own_pods.values().find(|pod| pod.uid == **uid);
            uids.iter().filter_map(|uid| of(&uid).map(|pod| (Arc::clone(uid), pod.addresses.clone()))).collect()
        })
    }
}
