//! One endpoint as it is served right now: its limits, its rules, and a hold for each revision.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use platform::{Endpoint, QueueLimits};
use traffic::outcome::name_of_split;
use traffic::{Because, Choice, Request, Rules, Split, Target};
use units::{EndpointKey, Percent};

use crate::hold::Hold;
use crate::routes::{is_service, service_of_tag};
use crate::shadow::Shadow;
use crate::tally::Tally;

/// One endpoint. Its parts in force are swapped whole, so that a request sees one version from beginning to end.
pub(crate) struct Served {
    pub(crate) key: EndpointKey,
    in_force: ArcSwap<InForce>,
    /// Requests so far whose turn it was; the split walks its schedule by it.
    picks: AtomicU64,
    /// Requests so far of which shadows may get a copy.
    copied: AtomicU64,
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
    /// What is counted for comparing them, in the same order; none where there is one revision alone.
    tallies: Vec<Arc<Tally>>,
    pub(crate) shadows: Vec<Shadow>,
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
    pub(crate) fn new(endpoint: &Endpoint, holds: Vec<Arc<Hold>>, shadows: Vec<Shadow>) -> Option<Self> {
        let in_force = InForce::new(endpoint.clone(), rules(endpoint, None)?, holds, shadows, None);
        Some(Self {
            key: endpoint.key.clone(),
            in_force: ArcSwap::from_pointee(in_force),
            picks: AtomicU64::new(0),
            copied: AtomicU64::new(0),
            said: Mutex::new(None),
        })
    }

    /// What is in force now.
    pub(crate) fn now(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// A new specification. Shares that the leader said stay, unless the specification's own changed: then a person has
    /// spoken since.
    pub(crate) fn put_in_force(&self, endpoint: &Endpoint, holds: Vec<Arc<Hold>>, shadows: Vec<Shadow>) {
        let mut said = self.said.lock();
        let shares = |endpoint: &Endpoint| -> Vec<_> {
            endpoint.targets.iter().map(|target| (target.revision.clone(), target.percent)).collect()
        };
        let now = self.now();
        if shares(&now.endpoint) != shares(endpoint) {
            *said = None;
        }
        if let Some(rules) = rules(endpoint, said.as_deref()) {
            self.in_force.store(Arc::new(InForce::new(endpoint.clone(), rules, holds, shadows, Some(&now))));
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
        let (holds, shadows) = (now.holds.clone(), now.shadows.clone());
        let in_force = InForce::new(now.endpoint.clone(), rules, holds, shadows, Some(&now));
        self.in_force.store(Arc::new(in_force));
        true
    }

    /// How many requests came before this one of which shadows may get a copy.
    pub(crate) fn next_copied(&self) -> u64 {
        self.copied.fetch_add(1, Ordering::Relaxed)
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
    /// The target that takes what those that were tried cannot serve, by the shares in force.
    pub(crate) fn fallback(&self, tried: impl Fn(usize) -> bool) -> Option<(usize, &Arc<Hold>)> {
        let target = self.rules.split().fallback(tried)?;
        Some((target, self.holds.get(target)?))
    }

    /// `before`: what it takes the place of.
    fn new(
        endpoint: Endpoint,
        rules: Rules,
        holds: Vec<Arc<Hold>>,
        shadows: Vec<Shadow>,
        before: Option<&Self>,
    ) -> Self {
        let tags = endpoint.targets.iter().filter_map(|target| target.tag.clone());
        let tagged = tags.map(|tag| (service_of_tag(&tag, &endpoint.key), tag)).collect();
        let tallies = tallies(rules.split(), &holds, before);
        Self { endpoint, rules, holds, tallies, shadows, tagged }
    }

    /// Where it is counted how a request ends, for comparing; `None` for one that did not come to its revision by chance:
    /// who asks for a revision, or looks like it, is not as the others are.
    pub(crate) fn tally(&self, choice: &Choice) -> Option<&Arc<Tally>> {
        match choice.because {
            Because::Weights | Because::Sticky => self.tallies.get(choice.target),
            Because::Tag | Because::Match { .. } => None,
        }
    }
}

/// A tally for each target. Under the same shares they count on; under others all begin anew.
fn tallies(split: &Split, holds: &[Arc<Hold>], before: Option<&InForce>) -> Vec<Arc<Tally>> {
    let targets = split.targets();
    let name = name_of_split(targets.iter().map(|target| (&*target.revision, target.percent)));
    let alone = targets.iter().all(|target| target.revision == targets[0].revision);
    let mut tallies: Vec<Arc<Tally>> = Vec::new();
    for (position, hold) in holds.iter().enumerate().filter(|_| !alone) {
        let twice = holds[..position].iter().position(|other| Arc::ptr_eq(other, hold));
        let kept = before.and_then(|before| {
            let position = before.holds.iter().position(|other| Arc::ptr_eq(other, hold))?;
            before.tallies.get(position).filter(|tally| tally.split() == name)
        });
        let tally = twice
            .and_then(|twice| tallies.get(twice))
            .or(kept)
            .map_or_else(|| Arc::new(Tally::new(name, hold.clock.now())), Arc::clone);
        tallies.push(tally);
    }
    for hold in before.into_iter().flat_map(|before| &before.holds).chain(holds) {
        let position = holds.iter().position(|other| Arc::ptr_eq(other, hold));
        let is = position.and_then(|position| tallies.get(position));
        // What is named no more may have been given to another endpoint already.
        let was = before.and_then(|before| {
            let position = before.holds.iter().position(|other| Arc::ptr_eq(other, hold))?;
            before.tallies.get(position)
        });
        let now = hold.tally.load();
        let is_ours = now.as_ref().is_none_or(|now| was.is_some_and(|was| Arc::ptr_eq(now, was)));
        if is.is_some() || is_ours {
            hold.tally.store(is.cloned());
        }
    }
    tallies
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
        let served = Served::new(&two(100), Vec::new(), Vec::new()).unwrap();
        assert!(served.set_weights(&[("stable", percent(95)), ("candidate", percent(5))]));
        let mut changed = two(100);
        changed.timeouts.idle = Some(Duration::from_secs(1));
        served.put_in_force(&changed, Vec::new(), Vec::new());
        assert_eq!(candidates_of_100(&served), 5);
        // A person who changes the shares has the last word, until the leader speaks again.
        served.put_in_force(&two(50), Vec::new(), Vec::new());
        assert_eq!(candidates_of_100(&served), 50);
    }

    #[test]
    fn the_shares_that_the_leader_said_are_those_by_which_clients_stay_too() {
        let mut endpoint = two(100);
        endpoint.sticky = Some(traffic::Sticky::ClientAddress);
        let hold = fixtures::hold(0, 1);
        let served = Served::new(&endpoint, vec![Arc::clone(&hold), hold], Vec::new()).unwrap();
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
    fn revisions_are_compared_anew_when_their_shares_change_and_only_then() {
        let of = |name: &str| fixtures::hold_of(name);
        let holds = vec![of("stable"), of("candidate")];
        let served = Served::new(&two(90), holds.clone(), Vec::new()).unwrap();
        let run =
            || holds.iter().map(|hold| hold.tally.load().as_ref().map(|tally| tally.said(0).run)).collect::<Vec<_>>();
        let first = run();
        assert!(first.iter().all(Option::is_some) && first[0] != first[1]);
        let mut changed = two(90);
        changed.timeouts.idle = Some(Duration::from_secs(1));
        changed.targets.reverse();
        served.put_in_force(&changed, holds.iter().rev().cloned().collect(), Vec::new());
        assert_eq!(run(), first);
        assert!(served.set_weights(&[("candidate", percent(20)), ("stable", percent(80))]));
        let second = run();
        assert!(first.iter().zip(&second).all(|(first, second)| first != second));
        // Back to what it was, and yet at another time.
        assert!(served.set_weights(&[("candidate", percent(10)), ("stable", percent(90))]));
        assert!(first.iter().zip(run()).all(|(first, third)| *first != third));
        // Alone there is nothing to compare it with.
        let mut alone = two(100);
        alone.targets.truncate(1);
        served.put_in_force(&alone, holds[..1].to_vec(), Vec::new());
        assert_eq!(run(), [None, None]);
    }

    #[test]
    fn a_match_that_leads_nowhere_is_not_served() {
        let mut endpoint = two(50);
        let nowhere = traffic::Match { header: None, cookie: None, path: None, method: None, to: 2 };
        endpoint.matches = Arc::from([nowhere]);
        assert!(Served::new(&endpoint, Vec::new(), Vec::new()).is_none());
    }

    #[test]
    fn shares_for_other_revisions_change_nothing() {
        let served = Served::new(&two(90), Vec::new(), Vec::new()).unwrap();
        assert!(!served.set_weights(&[("stable", percent(50)), ("older", percent(50))]));
        assert!(!served.set_weights(&[("stable", percent(100))]));
        assert_eq!(candidates_of_100(&served), 10);
    }
}
