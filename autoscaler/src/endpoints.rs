//! The endpoints that exist, and which way the scaler of each revision wants its requests to take.

use std::collections::BTreeMap;
use std::sync::Arc;

use dashmap::DashMap;
use platform::{Endpoint, Path};
use tokio::sync::watch;
use units::{EndpointKey, RevisionKey};

/// What each revision of an endpoint wishes. One that has said nothing wants what is.
pub(crate) type Wishes = BTreeMap<RevisionKey, Path>;

/// All endpoints. Shared; no call waits.
#[derive(Debug, Default)]
pub(crate) struct Endpoints(DashMap<EndpointKey, Seat>);

#[derive(Debug)]
struct Seat {
    facts: watch::Receiver<Arc<Endpoint>>,
    wishes: watch::Sender<Wishes>,
    /// The newest version that every activator in its path routed by; `None` before there was one.
    in_force: Option<Arc<Endpoint>>,
}

impl Endpoints {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An endpoint is there. What its revisions wish comes out here.
    pub(crate) fn came(&self, key: EndpointKey, facts: watch::Receiver<Arc<Endpoint>>) -> watch::Receiver<Wishes> {
        let (wishes, wished) = watch::channel(Wishes::new());
        self.0.insert(key, Seat { facts, wishes, in_force: None });
        wished
    }

    /// It is gone.
    pub(crate) fn went(&self, key: &EndpointKey) {
        self.0.remove(key);
    }

    /// How it is now.
    pub(crate) fn get(&self, key: &EndpointKey) -> Option<Arc<Endpoint>> {
        self.0.get(key).map(|seat| Arc::clone(&seat.facts.borrow()))
    }

    /// Every activator in its path routes by this version.
    pub(crate) fn is_in_force(&self, endpoint: &Arc<Endpoint>) {
        if let Some(mut seat) = self.0.get_mut(&endpoint.key) {
            seat.in_force = Some(Arc::clone(endpoint));
        }
    }

    /// What is routed by, as far as is known: the newest version that was in force everywhere, or else the newest.
    pub(crate) fn in_force(&self, key: &EndpointKey) -> Option<Arc<Endpoint>> {
        self.0.get(key).map(|seat| seat.in_force.clone().unwrap_or_else(|| Arc::clone(&seat.facts.borrow())))
    }

    /// All of them, in order.
    pub(crate) fn all(&self) -> Vec<Arc<Endpoint>> {
        let mut all: Vec<_> = self.0.iter().map(|seat| Arc::clone(&seat.facts.borrow())).collect();
        all.sort_by(|one, other| one.key.cmp(&other.key));
        all
    }

    /// A revision wishes its requests to take this way.
    pub(crate) fn wish(&self, endpoint: &EndpointKey, revision: &RevisionKey, path: Path) {
        if let Some(seat) = self.0.get(endpoint) {
            seat.wishes.send_if_modified(|wishes| wishes.insert(revision.clone(), path) != Some(path));
        }
    }
}
