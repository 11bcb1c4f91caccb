//! One endpoint as it is served right now: its limits, its split, and a hold for each revision.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use platform::{Endpoint, QueueLimits};
use traffic::{Split, Target};
use units::{EndpointKey, Percent};

use crate::hold::Hold;

/// One endpoint. Its parts in force are swapped whole, so that a request sees one version from beginning to end.
pub(crate) struct Served {
    pub(crate) key: EndpointKey,
    in_force: ArcSwap<InForce>,
    /// Unpinned requests so far; the split walks its schedule by it.
    picks: AtomicU64,
}

/// One version.
pub(crate) struct InForce {
    pub(crate) endpoint: Endpoint,
    split: Split,
    /// In the order of the targets.
    holds: Vec<Arc<Hold>>,
}

impl PartialEq for Served {
    /// The same endpoint, whatever its version.
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Served {
    /// For a hold that is made before its endpoint is known; nothing can arrive at it until then.
    pub(crate) const QUEUE_BEFORE_ITS_ENDPOINT: QueueLimits =
        QueueLimits { max_requests: NonZeroU32::MIN, max_bytes: 0, max_wait: Duration::ZERO };

    /// `None` if the endpoint's targets are no split: the catalogue promises that they are, so this is a fault of ours.
    pub(crate) fn new(endpoint: &Endpoint, holds: Vec<Arc<Hold>>) -> Option<Self> {
        let in_force = InForce::new(endpoint.clone(), split(endpoint, &[])?, holds);
        Some(Self { key: endpoint.key.clone(), in_force: ArcSwap::from_pointee(in_force), picks: AtomicU64::new(0) })
    }

    /// What is in force now.
    pub(crate) fn now(&self) -> arc_swap::Guard<Arc<InForce>> {
        self.in_force.load()
    }

    pub(crate) fn put_in_force(&self, endpoint: &Endpoint, holds: Vec<Arc<Hold>>) {
        if let Some(split) = split(endpoint, &[]) {
            self.in_force.store(Arc::new(InForce::new(endpoint.clone(), split, holds)));
        }
    }

    /// Other shares for the same revisions, in the order of the specification. `false` if they do not fit.
    pub(crate) fn set_weights(&self, shares: &[(&str, Percent)]) -> bool {
        let now = self.now();
        let fits = shares.len() == now.endpoint.targets.len()
            && shares.iter().zip(&now.endpoint.targets).all(|((name, _), target)| **name == *target.revision.name);
        let Some(split) = fits.then(|| split(&now.endpoint, shares)).flatten() else { return false };
        self.in_force.store(Arc::new(InForce::new(now.endpoint.clone(), split, now.holds.clone())));
        true
    }

    pub(crate) fn generation(&self) -> u64 {
        self.now().endpoint.generation
    }

    /// Which revision serves the next request: the tagged one, or by exact share.
    pub(crate) fn choose(&self, in_force: &InForce, tag: Option<&str>) -> Option<Arc<Hold>> {
        let target = match tag {
            Some(tag) => in_force.split.by_tag(tag)?,
            None => in_force.split.pick(self.picks.fetch_add(1, Ordering::Relaxed)),
        };
        in_force.holds.get(target).map(Arc::clone)
    }
}

impl InForce {
    fn new(endpoint: Endpoint, split: Split, holds: Vec<Arc<Hold>>) -> Self {
        Self { endpoint, split, holds }
    }
}

/// The split of an endpoint; `shares`, where given, in place of the specification's percents.
fn split(endpoint: &Endpoint, shares: &[(&str, Percent)]) -> Option<Split> {
    let percents = shares.iter().map(|(_, percent)| Some(*percent)).chain(std::iter::repeat(None));
    let of = |(target, percent): (&platform::Target, Option<Percent>)| Target {
        revision: Arc::clone(&target.revision.name),
        percent: percent.unwrap_or(target.percent),
        tag: target.tag.clone(),
    };
    Split::new(endpoint.targets.iter().zip(percents).map(of).collect()).ok()
}
