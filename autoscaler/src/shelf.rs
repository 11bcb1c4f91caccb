//! What is shown of each revision: put there by its task, read by the admin port.

use std::collections::BTreeMap;
use std::sync::Arc;

use dashmap::DashMap;
use kpa::policy::InForce;
use kpa::{Decisions, PathState, Timers};
use parking_lot::Mutex;
use platform::{Revision, Source};
use tokio::sync::watch;
use traffic::outcome::Ledger;
use units::{Moment, RevisionKey};

use crate::ring::Wakes;
use crate::series::Series;

/// One revision, as shown.
#[derive(Debug)]
pub(crate) struct Shown {
    /// How it is in the world.
    pub(crate) facts: watch::Receiver<Arc<Revision>>,
    /// Its settings in force.
    pub(crate) settings: Arc<InForce<Source>>,
    /// Its last decisions.
    pub(crate) decisions: Decisions,
    /// Its last wakes.
    pub(crate) wakes: Wakes,
    /// Its last ten minutes.
    pub(crate) series: Series,
    /// How its requests ended since the split of its endpoint became what it is.
    pub(crate) ledger: Ledger,
    /// Why its start failed, while it may not be tried again.
    pub(crate) failed: Option<Arc<str>>,
    /// Requests at each replica whose sidecar has said so.
    pub(crate) in_flight: BTreeMap<Arc<str>, u32>,
    /// A request for it has come through Rouse.
    pub(crate) asked_for: bool,
    /// It is being sealed.
    pub(crate) sealing: bool,
    /// Who keeps it from zero by being silent.
    pub(crate) zero_blocked_by: Vec<Arc<str>>,
    /// What the last decision waits for.
    pub(crate) waits: Option<Waits>,
}

/// What a decision waits for.
#[derive(Debug)]
pub(crate) struct Waits {
    pub(crate) timers: Timers,
    pub(crate) path: PathState,
    /// Whose silence keeps it from being lowered, and since when.
    pub(crate) silent: Vec<(Box<str>, Moment)>,
}

/// A place for one revision on the shelf.
pub(crate) type Place = Arc<Mutex<Shown>>;

/// Everything that is shown. Locks are held for as long as it takes to copy a few numbers.
#[derive(Debug, Default)]
pub(crate) struct Shelf(DashMap<RevisionKey, Place>);

impl Shelf {
    /// Empty.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Shows a revision.
    pub(crate) fn put(&self, revision: RevisionKey, shown: Shown) -> Place {
        let place = Arc::new(Mutex::new(shown));
        self.0.insert(revision, Arc::clone(&place));
        place
    }

    /// Shows it no more.
    pub(crate) fn remove(&self, revision: &RevisionKey) {
        self.0.remove(revision);
    }

    /// Where it is shown.
    pub(crate) fn get(&self, revision: &RevisionKey) -> Option<Place> {
        self.0.get(revision).map(|place| Arc::clone(&place))
    }
}
