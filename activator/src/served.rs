//! One endpoint as it is served right now: its limits, its split, and a hold for each revision.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use platform::{Endpoint, QueueLimits};
use traffic::{Split, Target};
use units::{EndpointKey, Percent};

use crate::hold::Hold;
use crate::routes::{is_service, service_of_tag};

/// One endpoint. Its parts in force are swapped whole, so that a request sees one version from beginning to end.
pub(crate) struct Served {
    pub(crate) key: EndpointKey,
    in_force: ArcSwap<InForce>,
    /// Unpinned requests so far; the split walks its schedule by it.
    picks: AtomicU64,
    /// Shares that the leader said, in the order of the targets; `None`: the specification's hold. The lock is also that
    /// of every change of what is in force.
    said: Mutex<Option<Vec<Percent>>>,
}

/// One version.
pub(crate) struct InForce {
    pub(crate) endpoint: Endpoint,
    split: Split,
    /// In the order of the targets.
    holds: Vec<Arc<Hold>>,
    /// The Service of each tag.
    tagged: Vec<(String, Arc<str>)>,
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
        let in_force = InForce::new(endpoint.clone(), split(endpoint, None)?, holds);
        Some(Self {
            key: endpoint.key.clone(),
            in_force: ArcSwap::from_pointee(in_force),
            picks: AtomicU64::new(0),
            said: Mutex::new(None),
        })
    }

    /// What is in force now.
    pub(crate) fn now(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// A new specification. Shares that the leader said stay, unless the specification's own changed: then a person has
    /// spoken since.
    pub(crate) fn put_in_force(&self, endpoint: &Endpoint, holds: Vec<Arc<Hold>>) {
        let mut said = self.said.lock();
        let shares = |endpoint: &Endpoint| -> Vec<_> {
            endpoint.targets.iter().map(|target| (target.revision.clone(), target.percent)).collect()
        };
        if shares(&self.now().endpoint) != shares(endpoint) {
            *said = None;
        }
        if let Some(split) = split(endpoint, said.as_deref()) {
            self.in_force.store(Arc::new(InForce::new(endpoint.clone(), split, holds)));
        }
    }

    /// Other shares for the same revisions, in the order of the specification. `false` if they do not fit.
    pub(crate) fn set_weights(&self, shares: &[(&str, Percent)]) -> bool {
        let mut said = self.said.lock();
        let now = self.now();
        let fits = shares.len() == now.endpoint.targets.len()
            && shares.iter().zip(&now.endpoint.targets).all(|((name, _), target)| **name == *target.revision.name);
        if !fits {
            return false;
        }
        let percents: Vec<Percent> = shares.iter().map(|(_, percent)| *percent).collect();
        let Some(split) = split(&now.endpoint, Some(&percents)) else { return false };
        *said = Some(percents);
        self.in_force.store(Arc::new(InForce::new(now.endpoint.clone(), split, now.holds.clone())));
        true
    }

    pub(crate) fn generation(&self) -> u64 {
        self.now().endpoint.generation
    }

    /// The tag whose Service a Host is.
    pub(crate) fn tag_of<'a>(&self, in_force: &'a InForce, host: &str) -> Option<&'a str> {
        let is_it = |(name, _): &&(String, Arc<str>)| is_service(host, name, &self.key.namespace);
        in_force.tagged.iter().find(is_it).map(|(_, tag)| &**tag)
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
        let tags = endpoint.targets.iter().filter_map(|target| target.tag.clone());
        let tagged = tags.map(|tag| (service_of_tag(&tag, &endpoint.key), tag)).collect();
        Self { endpoint, split, holds, tagged }
    }
}

/// The split of an endpoint; `said`, where given, in place of the specification's percents.
fn split(endpoint: &Endpoint, said: Option<&[Percent]>) -> Option<Split> {
    let of = |(position, target): (usize, &platform::Target)| Target {
        revision: Arc::clone(&target.revision.name),
        percent: said.and_then(|said| said.get(position)).copied().unwrap_or(target.percent),
        tag: target.tag.clone(),
    };
    Split::new(endpoint.targets.iter().enumerate().map(of).collect()).ok()
}

#[cfg(test)]
mod tests {
    use units::RevisionKey;

    use super::*;
    use crate::fixtures;

    fn percent(percent: u8) -> Percent {
        Percent::new(percent).unwrap()
    }

    fn two(stable: u8) -> Endpoint {
        let mut endpoint = fixtures::endpoint("model");
        let target = |name: &str, share| platform::Target {
            revision: RevisionKey::new("default", name),
            percent: percent(share),
            tag: None,
        };
        endpoint.targets = vec![target("stable", stable), target("candidate", 100 - stable)];
        endpoint
    }

    fn candidates_of_100(served: &Served) -> usize {
        let in_force = served.now();
        (0..100).filter(|count| in_force.split.pick(*count) == 1).count()
    }

    #[test]
    fn a_change_of_something_else_leaves_the_shares_that_the_leader_said() {
        let served = Served::new(&two(100), Vec::new()).unwrap();
        assert!(served.set_weights(&[("stable", percent(95)), ("candidate", percent(5))]));
        let mut changed = two(100);
        changed.timeouts.idle = Some(Duration::from_secs(1));
        served.put_in_force(&changed, Vec::new());
        assert_eq!(candidates_of_100(&served), 5);
        // A person who changes the shares has the last word, until the leader speaks again.
        served.put_in_force(&two(50), Vec::new());
        assert_eq!(candidates_of_100(&served), 50);
    }

    #[test]
    fn shares_for_other_revisions_change_nothing() {
        let served = Served::new(&two(90), Vec::new()).unwrap();
        assert!(!served.set_weights(&[("stable", percent(50)), ("older", percent(50))]));
        assert!(!served.set_weights(&[("stable", percent(100))]));
        assert_eq!(candidates_of_100(&served), 10);
    }
}
