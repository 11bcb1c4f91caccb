//! One endpoint as it is served right now: its limits, its rules, and a hold for each revision.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use platform::{Endpoint, QueueLimits};
use traffic::{Choice, Request, Rules, Split, Target};
use units::{EndpointKey, Percent};

use crate::hold::Hold;
use crate::routes::{is_service, service_of_tag};

/// One endpoint. Its parts in force are swapped whole, so that a request sees one version from beginning to end.
pub(crate) struct Served {
    pub(crate) key: EndpointKey,
    in_force: ArcSwap<InForce>,
    /// Requests so far whose turn it was; the split walks its schedule by it.
    picks: AtomicU64,
    /// Shares that the leader said, in the order of the targets; `None`: the specification's hold. The lock is also that
    /// of every change of what is in force.
    said: Mutex<Option<Vec<Percent>>>,
}

/// One version.
pub(crate) struct InForce {
    pub(crate) endpoint: Endpoint,
    rules: Rules,
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

    /// `None` if its targets are no split, or a match leads to none of them: the catalogue promises that this is not so, so
    /// it is a fault of ours.
    pub(crate) fn new(endpoint: &Endpoint, holds: Vec<Arc<Hold>>) -> Option<Self> {
        let in_force = InForce::new(endpoint.clone(), rules(endpoint, None)?, holds);
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
        if let Some(rules) = rules(endpoint, said.as_deref()) {
            self.in_force.store(Arc::new(InForce::new(endpoint.clone(), rules, holds)));
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
        let Some(rules) = rules(&now.endpoint, Some(&percents)) else { return false };
        *said = Some(percents);
        self.in_force.store(Arc::new(InForce::new(now.endpoint.clone(), rules, now.holds.clone())));
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

    /// Which revision serves this request; `None` if none has the tag.
    pub(crate) fn choose<'a>(
        &self,
        in_force: &'a InForce,
        tag: Option<&str>,
        request: Request<'_>,
    ) -> Option<(&'a Arc<Hold>, Choice)> {
        let count = || self.picks.fetch_add(1, Ordering::Relaxed);
        let choice = in_force.rules.choose(tag, request, count, || fastrand::u64(..))?;
        Some((in_force.holds.get(choice.target)?, choice))
    }
}

impl InForce {
    fn new(endpoint: Endpoint, rules: Rules, holds: Vec<Arc<Hold>>) -> Self {
        let tags = endpoint.targets.iter().filter_map(|target| target.tag.clone());
        let tagged = tags.map(|tag| (service_of_tag(&tag, &endpoint.key), tag)).collect();
        Self { endpoint, rules, holds, tagged }
    }
}

/// The rules of an endpoint; `said`, where given, in place of the specification's percents.
fn rules(endpoint: &Endpoint, said: Option<&[Percent]>) -> Option<Rules> {
    let of = |(position, target): (usize, &platform::Target)| Target {
        revision: Arc::clone(&target.revision.name),
        percent: said.and_then(|said| said.get(position)).copied().unwrap_or(target.percent),
        tag: target.tag.clone(),
    };
    let split = Split::new(endpoint.targets.iter().enumerate().map(of).collect()).ok()?;
    Rules::new(split, Arc::clone(&endpoint.matches), endpoint.sticky.clone()).ok()
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
        (0..100).filter(|count| in_force.rules.split().pick(*count) == 1).count()
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
    fn the_shares_that_the_leader_said_are_those_by_which_clients_stay_too() {
        let mut endpoint = two(100);
        endpoint.sticky = Some(traffic::Sticky::ClientAddress);
        let hold = fixtures::hold(0, 1);
        let served = Served::new(&endpoint, vec![Arc::clone(&hold), hold]).unwrap();
        let chosen = |served: &Served| {
            let (method, headers) = (http::Method::GET, http::HeaderMap::new());
            let client = std::net::IpAddr::from([192, 0, 2, 1]);
            let request = Request { method: &method, path: "/", headers: &headers, client };
            let in_force = served.now();
            served.choose(&in_force, None, request).unwrap().1
        };
        assert_eq!((chosen(&served).target, chosen(&served).because), (0, traffic::Because::Sticky));
        assert!(served.set_weights(&[("stable", percent(0)), ("candidate", percent(100))]));
        assert_eq!(chosen(&served).target, 1);
    }

    #[test]
    fn a_match_that_leads_nowhere_is_not_served() {
        let mut endpoint = two(50);
        let nowhere = traffic::Match { header: None, cookie: None, path: None, method: None, to: 2 };
        endpoint.matches = Arc::from([nowhere]);
        assert!(Served::new(&endpoint, Vec::new()).is_none());
    }

    #[test]
    fn shares_for_other_revisions_change_nothing() {
        let served = Served::new(&two(90), Vec::new()).unwrap();
        assert!(!served.set_weights(&[("stable", percent(50)), ("older", percent(50))]));
        assert!(!served.set_weights(&[("stable", percent(100))]));
        assert_eq!(candidates_of_100(&served), 10);
    }
}
