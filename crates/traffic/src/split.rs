//! A split of traffic that is exact, not exact on average.
//!
//! A hundred places in a fixed order, each revision as often as its percent says, walked round and round. So over *any*
//! hundred requests in a row each revision's share is its percent to the request, and a share of 1 % gets its request
//! every hundred instead of, by chance, none in three hundred.
//!
//! The places are dealt as evenly as can be: each place goes, of the revisions that are behind their share, to the one
//! whose share is soonest overrun (Tijdeman's solution of the chairman assignment problem). After any number of places
//! from the start, no revision is a whole request away from its share; with two revisions, not in any stretch either.
//!
//! The caller owns the counter, and with it the question which requests take part: those pinned by a tag do not.

use std::fmt;
use std::sync::Arc;

use units::Percent;

#[cfg(test)]
mod tests;

/// The most targets of one split.
pub const MAX_TARGETS: usize = 16;

const PLACES: usize = 100;

/// A revision with its part of the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of the revision. May occur twice: with a percent, and under a tag.
    pub revision: Arc<str>,
    /// Its share of the requests without a tag. At 0 only its tag leads to it.
    pub percent: Percent,
    /// The name under which it is reached whatever its percent is.
    pub tag: Option<Arc<str>>,
}

/// Targets whose percents add up to 100, and whose tags are all different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    targets: Vec<Target>,
    places: [u8; PLACES],
}

/// What is wrong with targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is none.
    NoTargets,
    /// More than [`MAX_TARGETS`].
    TooMany {
        /// How many there are.
        targets: usize,
    },
    /// The percents do not add up to 100.
    Sum {
        /// What they add up to.
        sum: u32,
    },
    /// Two targets have the same tag.
    DuplicateTag {
        /// The tag.
        tag: Arc<str>,
        /// Position of the second one.
        position: usize,
    },
    /// A tag of no characters.
    EmptyTag {
        /// Position of its target.
        position: usize,
    },
}

/// All that is wrong with targets, in one go. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitError {
    /// Each fault.
    pub faults: Vec<Fault>,
}

impl Split {
    /// A split over these targets.
    ///
    /// # Errors
    /// Every fault there is: percents that do not add up to 100, no target or more than 16, tags that are empty or used
    /// twice.
    pub fn new(targets: Vec<Target>) -> Result<Self, SplitError> {
        let faults = faults_of(&targets);
        if !faults.is_empty() {
            return Err(SplitError { faults });
        }
        let percents: Vec<u8> = targets.iter().map(|target| target.percent.get()).collect();
        Ok(Self { places: deal(&percents), targets })
    }

    /// The position of the target for the request that is number `count` of those without a tag.
    pub fn pick(&self, count: u64) -> usize {
        usize::from(self.places[(count % PLACES as u64) as usize])
    }

    /// The position of the target with this tag.
    pub fn by_tag(&self, tag: &str) -> Option<usize> {
        self.targets.iter().position(|target| target.tag.as_deref() == Some(tag))
    }

    /// The position of the target that takes what others cannot serve: of those that were not `tried`, the one with the
    /// most percent, and the first of equals. `None` if there is none; one with 0 takes nothing that is not led there.
    ///
    /// Who marks what it is given as tried is led to each at most once, and to an end.
    pub fn fallback(&self, tried: impl Fn(usize) -> bool) -> Option<usize> {
        let shares = self.targets.iter().map(|target| target.percent.get()).enumerate();
        let left = shares.filter(|(position, percent)| *percent != 0 && !tried(*position));
        // The last of equals is the greatest to `max_by_key`, so it is asked from the other end.
        left.rev().max_by_key(|(_, percent)| *percent).map(|(position, _)| position)
    }

    /// The targets, in the order they were given.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }
}

fn faults_of(targets: &[Target]) -> Vec<Fault> {
    let mut faults = Vec::new();
    if targets.is_empty() {
        return vec![Fault::NoTargets];
    }
    if MAX_TARGETS < targets.len() {
        faults.push(Fault::TooMany { targets: targets.len() });
    }
    let sum = targets.iter().map(|target| u32::from(target.percent.get())).sum();
    if sum != 100 {
        faults.push(Fault::Sum { sum });
    }
    for (position, target) in targets.iter().enumerate() {
        let Some(tag) = &target.tag else { continue };
        if tag.is_empty() {
            faults.push(Fault::EmptyTag { position });
        } else if targets[..position].iter().any(|earlier| earlier.tag.as_ref() == Some(tag)) {
            faults.push(Fault::DuplicateTag { tag: Arc::clone(tag), position });
        }
    }
    faults
}

/// The order of the places, for percents that add up to 100.
fn deal(percents: &[u8]) -> [u8; PLACES] {
    let sharers = percents.iter().filter(|percent| **percent != 0).count();
    // The slack that keeps each within one request of its share; for two it is one half. All numbers below are in
    // hundredths of a request, times `slack`, so that they are whole.
    let slack = (2 * sharers as i64 - 2).max(1);
    let mut dealt = vec![0_i64; percents.len()];
    let mut places = [0; PLACES];
    for (number, place) in (1..).zip(&mut places) {
        let mut next: Option<(usize, i64, i64)> = None;
        for (position, percent) in percents.iter().map(|percent| i64::from(*percent)).enumerate() {
            let behind = (percent * number - 100 * dealt[position]) * slack;
            if behind < 100 {
                continue;
            }
            // It must have its place before `left / percent` more places have gone to others.
            let left = 100 * (slack - 1) - behind;
            if next.is_none_or(|(_, soonest_left, soonest_percent)| left * soonest_percent < soonest_left * percent) {
                next = Some((position, left, percent));
            }
        }
        // Someone is always behind by the slack: the shortfalls of `sharers` revisions add up to one whole request.
        if let Some((position, _, _)) = next {
            dealt[position] += 1;
            *place = position as u8;
        }
    }
    places
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTargets => write!(f, "there is no target; name 1 to {MAX_TARGETS} revisions"),
            Self::TooMany { targets } => write!(f, "there are {targets} targets; at most {MAX_TARGETS} are allowed"),
            Self::Sum { sum } => write!(f, "the percents add up to {sum}; they must add up to 100"),
            Self::DuplicateTag { tag, position } => {
                write!(f, "[{position}]: the tag {tag:?} is used before; each tag must name one target")
            }
            Self::EmptyTag { position } => write!(f, "[{position}]: the tag is empty; give it a name or leave it out"),
        }
    }
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.faults.iter().enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SplitError {}
