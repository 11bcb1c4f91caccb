//! How the revisions of one endpoint did, side by side: an experiment, of which the split is the assignment.
//!
//! - `sums`: what is counted of each revision, and how counts of several places are put together
//! - `ledger`: what several activators counted, whichever of them restart, for as long as the split stays as it is
//! - `interval`: how far a difference may be chance
//! - `comparison`: two revisions, and which is better
//!
//! Only requests that turns or stickiness gave a revision belong here: who asks for one by its tag, or looks like it by a
//! match, is another population. A change of the split begins anew, for the same reason: hours of different load with
//! different shares, added up, can turn every difference round (Simpson's paradox).
//!
//! Not here: who counts, and what is said of it.

mod comparison;
mod interval;
mod ledger;
mod sums;

pub use comparison::{Compared, Comparison, LEAST, Verdict, compare};
pub use interval::CONFIDENCE;
pub use ledger::{Ledger, Period, Reading};
pub use sums::{LARGEST_OUTCOME, Moments, Sums, outcome_of};

use units::Percent;

/// A name for a split: the same for the same shares, on every machine and after every restart.
///
/// `shares`: in any order; a revision that is there twice counts with all it has.
pub fn name_of_split<'a>(shares: impl IntoIterator<Item = (&'a str, Percent)>) -> u64 {
    use std::collections::BTreeMap;
    use std::hash::Hasher as _;
    let mut whole: BTreeMap<&str, u32> = BTreeMap::new();
    for (revision, percent) in shares {
        *whole.entry(revision).or_default() += u32::from(percent.get());
    }
    let mut hasher = siphasher::sip::SipHasher24::new();
    for (revision, percent) in whole.into_iter().filter(|(_, percent)| *percent != 0) {
        hasher.write(revision.as_bytes());
        hasher.write(&[0xff]);
        hasher.write(&percent.to_be_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
