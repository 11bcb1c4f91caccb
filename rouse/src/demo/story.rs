//! What a demonstration does, and when it has gone well.

use std::time::Duration;

use loadtest::Scenario;
use loadtest::arrivals::Arrivals;
use loadtest::scenario::{Phase, Request};
use loadtest::shape::{Piece, Shape};

/// How long the last part may take: window 6 s, grace 1 s, a moment for the promise, and plenty.
pub(super) const SLEEP_WITHIN: Duration = Duration::from_secs(30);

/// What is said of each part while it lasts.
pub(super) const PARTS: [(&str, f64, u64, &str); 4] = [
    ("quiet", 0.0, 3, "nothing is asked, and nothing runs"),
    ("first requests", 3.0, 8, "the first request is held while a replica starts"),
    ("burst", 40.0, 12, "thirteen times as much at once: panic, and more replicas"),
    ("steady", 15.0, 15, "less than half of it: replicas go again, the idlest first"),
];

/// What is said of the last part.
pub(super) const SLEEP: (&str, &str) = ("asleep", "nothing is asked any more: six seconds later nothing runs");

/// The load.
pub(super) fn load(seed: u64) -> Scenario {
    let phase = |(name, rate, seconds, _): (&str, f64, u64, &str)| Phase {
        name: name.to_owned(),
        shape: Shape(vec![Piece::hold(rate, Duration::from_secs(seconds))]),
    };
    Scenario {
        name: "demo".to_owned(),
        about: "Quiet, the first requests, a burst, less of it, quiet".to_owned(),
        arrivals: Arrivals::Poisson,
        seed,
        request: Request::prediction(),
        phases: PARTS.map(phase).into(),
    }
}

/// The part at a moment: its name, and what is said of it.
pub(super) fn part_at(moment: Duration) -> (&'static str, &'static str) {
    let mut ends = 0;
    let part = PARTS.iter().find(|(_, _, seconds, _)| {
        ends += seconds;
        moment < Duration::from_secs(ends)
    });
    part.map_or(SLEEP, |(name, _, _, said)| (name, said))
}

/// The most replicas that were ready, and whether it began and ended with none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) began_at_zero: bool,
    pub(super) most: u32,
    pub(super) ended_at_zero: bool,
}

impl Course {
    /// From replicas seen, in their order.
    pub(super) fn of(replicas: &[u32]) -> Self {
        Self {
            began_at_zero: replicas.first() == Some(&0),
            most: replicas.iter().copied().max().unwrap_or(0),
            ended_at_zero: replicas.last() == Some(&0),
        }
    }

    /// Did it go from zero to several, and back?
    pub(super) fn is_whole(self) -> bool {
        self.began_at_zero && 1 < self.most && self.ended_at_zero
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demonstration_takes_less_than_ninety_seconds() {
        assert!(load(1).lasts() + SLEEP_WITHIN <= Duration::from_secs(90));
    }

    #[test]
    fn it_is_whole_only_from_zero_to_several_and_back() {
        assert!(Course::of(&[0, 1, 4, 2, 0]).is_whole());
        for broken in [&[1, 4, 0][..], &[0, 1, 0], &[0, 4, 1], &[]] {
            assert!(!Course::of(broken).is_whole(), "{broken:?}");
        }
    }

    #[test]
    fn each_moment_has_its_part() {
        let names: Vec<&str> = [0, 3, 12, 30, 99].map(|second| part_at(Duration::from_secs(second)).0).into();
        assert_eq!(names, ["quiet", "first requests", "burst", "steady", "asleep"]);
    }
}
