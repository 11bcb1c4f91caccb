//! Two revisions, and which is better.

use super::interval::{difference_of_shares, standard_errors};
use super::sums::{Moments, Sums};

/// The fewest of each side from which anything is said: a mean of fewer is too far from a normal distribution.
pub const LEAST: u64 = 50;

/// A share of the mean: what rounding may make of numbers that are all equal.
const ROUNDING: f64 = 1e-12;

/// What can be said of a candidate, against another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is better, with [`CONFIDENCE`](super::CONFIDENCE).
    Better,
    /// It is worse, with the same.
    Worse,
    /// Both are possible. That is not the same as that they are alike: `low` and `high` say how far apart they may be.
    NoDifferenceSeen,
}

/// One measure of two revisions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// The candidate's less the other's, as seen.
    pub difference: f64,
    /// The least that it may be.
    pub low: f64,
    /// The most that it may be.
    pub high: f64,
    /// Which is better.
    pub verdict: Verdict,
    /// How many of the candidate's it is seen in, and of the other's.
    pub samples: (u64, u64),
}

/// A candidate against another revision. What has fewer than [`LEAST`] on either side is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Share of those that failed; less is better.
    pub failures: Option<Compared>,
    /// Mean seconds to the head of an answer; less is better.
    pub first_byte: Option<Compared>,
    /// Mean seconds to its last byte; less is better.
    pub duration: Option<Compared>,
    /// Mean of what answers say of themselves; more is better.
    pub outcome: Option<Compared>,
}

/// A candidate against another revision.
pub fn compare(candidate: &Sums, other: &Sums) -> Comparison {
    Comparison {
        failures: failures(candidate, other),
        first_byte: means(&candidate.first_byte, &other.first_byte, Verdict::Worse),
        duration: means(&candidate.duration, &other.duration, Verdict::Worse),
        outcome: means(&candidate.outcome, &other.outcome, Verdict::Better),
    }
}

fn failures(candidate: &Sums, other: &Sums) -> Option<Compared> {
    let (mine, theirs) = ((candidate.failed(), candidate.tried()), (other.failed(), other.tried()));
    if mine.1.min(theirs.1) < LEAST {
        return None;
    }
    let (low, high) = difference_of_shares(theirs, mine);
    let share = |(hits, tries): (u64, u64)| hits as f64 / tries as f64;
    let difference = share(mine) - share(theirs);
    Some(Compared { difference, low, high, verdict: verdict(low, high, Verdict::Worse), samples: (mine.1, theirs.1) })
}

/// Welch's: neither is thought to scatter as the other does. From [`LEAST`] on, the normal distribution stands for
/// Student's.
fn means(candidate: &Moments, other: &Moments, if_more: Verdict) -> Option<Compared> {
    let (mine, theirs) = (candidate.count, other.count);
    if mine.min(theirs) < LEAST {
        return None;
    }
    let variance = candidate.variance()? / mine as f64 + other.variance()? / theirs as f64;
    let rounding = ROUNDING * candidate.mean.abs().max(other.mean.abs());
    let difference = candidate.mean - other.mean;
    let reach = standard_errors(mine, theirs) * variance.sqrt() + rounding;
    let (low, high) = (difference - reach, difference + reach);
    Some(Compared { difference, low, high, verdict: verdict(low, high, if_more), samples: (mine, theirs) })
}

fn verdict(low: f64, high: f64, if_more: Verdict) -> Verdict {
    match (0.0 < low, high < 0.0, if_more) {
        (true, _, more) => more,
        (_, true, Verdict::Better) => Verdict::Worse,
        (_, true, Verdict::Worse) => Verdict::Better,
        (_, true, Verdict::NoDifferenceSeen) | (false, false, _) => Verdict::NoDifferenceSeen,
    }
}
