//! What waits to be done and what is under way: a few calls at a time, and of one endpoint nothing twice.
//!
//! Services are made in a lane of their own. The API server takes ten times as long for one of them as for anything else,
//! as it gives out an address, and longer the more are asked for at once: a thousand new endpoints would hold up every
//! status for minutes.

use std::collections::{BTreeMap, VecDeque};

use units::EndpointKey;

use super::work::Work;

/// Calls at a time to make a Service.
const SERVICES_AT_ONCE: usize = 4;
/// All other calls at a time. The leader has a Lease to renew on the same connection pool.
const OTHERS_AT_ONCE: usize = 8;

/// What some work is about: nothing else is begun about it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// An endpoint.
    Endpoint(EndpointKey),
    /// What was let go of.
    Releases,
}

/// What a lane is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Making a Service.
    Service,
    /// Anything else.
    Other,
}

/// One of the two, and what was taken from it and is not done.
#[derive(Debug)]
struct Lane {
    kind: Kind,
    at_once: usize,
    waiting: VecDeque<Work>,
    under_way: usize,
}

impl Lane {
    fn new(kind: Kind, at_once: usize) -> Self {
        Self { kind, at_once, waiting: VecDeque::new(), under_way: 0 }
    }
}

/// Both.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: [Lane; 2],
    /// How much there is of each, waiting or under way.
    busy: BTreeMap<Subject, usize>,
}

impl Lanes {
    pub(super) fn new() -> Self {
        let lanes = [Lane::new(Kind::Service, SERVICES_AT_ONCE), Lane::new(Kind::Other, OTHERS_AT_ONCE)];
        Self { lanes, busy: BTreeMap::new() }
    }

    /// Is anything about it still to be done?
    pub(super) fn is_busy(&self, subject: &Subject) -> bool {
        self.busy.contains_key(subject)
    }

    pub(super) fn push(&mut self, work: Work) {
        if let Some(subject) = work.subject() {
            *self.busy.entry(subject).or_default() += 1;
        }
        let kind = work.kind();
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.kind == kind) {
            lane.waiting.push_back(work);
        }
    }

    /// The next that may begin.
    pub(super) fn begin(&mut self) -> Option<Work> {
        let lane = self.lanes.iter_mut().find(|lane| lane.under_way < lane.at_once && !lane.waiting.is_empty())?;
        lane.under_way += 1;
        lane.waiting.pop_front()
    }

    /// One that had begun is over.
    pub(super) fn ended(&mut self, kind: Kind, subject: Option<&Subject>) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.kind == kind) {
            lane.under_way = lane.under_way.saturating_sub(1);
        }
        if let Some(subject) = subject
            && let Some(count) = self.busy.get_mut(subject)
        {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(name: &str) -> Work {
        Work::Status { key: EndpointKey::new("shop", name), patch: json!({}) }
    }

    fn service(name: &str) -> Work {
        Work::Create { key: EndpointKey::new("shop", name), service: Box::default() }
    }

    fn endpoint(name: &str) -> Subject {
        Subject::Endpoint(EndpointKey::new("shop", name))
    }

    #[test]
    fn a_status_does_not_wait_for_the_services_of_others() {
        let mut lanes = Lanes::new();
        (0..100).for_each(|n| lanes.push(service(&format!("new-{n}"))));
        lanes.push(status("old"));
        let begun: Vec<Work> = std::iter::from_fn(|| lanes.begin()).collect();
        assert_eq!(begun.len(), SERVICES_AT_ONCE + 1);
        assert!(matches!(begun.last(), Some(Work::Status { .. })));
    }

    #[test]
    fn of_what_waits_the_first_goes_when_one_is_done() {
        let mut lanes = Lanes::new();
        (0..OTHERS_AT_ONCE + 2).for_each(|n| lanes.push(status(&format!("m-{n}"))));
        assert_eq!(std::iter::from_fn(|| lanes.begin()).count(), OTHERS_AT_ONCE);
        lanes.ended(Kind::Other, Some(&endpoint("m-0")));
        let next = lanes.begin().unwrap();
        assert_eq!(next.subject(), Some(endpoint(&format!("m-{OTHERS_AT_ONCE}"))));
        assert!(lanes.begin().is_none());
    }

    #[test]
    fn an_endpoint_is_busy_until_all_that_was_about_it_is_done() {
        let mut lanes = Lanes::new();
        lanes.push(service("m"));
        lanes.push(status("m"));
        while let Some(work) = lanes.begin() {
            assert!(lanes.is_busy(&endpoint("m")));
            if matches!(work, Work::Status { .. }) {
                lanes.ended(Kind::Service, Some(&endpoint("m")));
                assert!(lanes.is_busy(&endpoint("m")));
                lanes.ended(Kind::Other, Some(&endpoint("m")));
            }
        }
        assert!(!lanes.is_busy(&endpoint("m")));
    }
}
