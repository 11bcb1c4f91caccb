//! The rules by which one of several replicas is chosen. As Knative chooses them, by the limit of a replica:
//!
//! | limit | policy | why |
//! |---|---|---|
//! | none | random choice of two | no replica is ever full; the less busy of two drawn ones keeps the load even |
//! | 1 to 3 | first available | small limits: fill the first ones, so that the last can be taken away |
//! | 4 and more | round robin | large limits: spread |
//!
//! Knative has no slow start; ours is in the first policy only, for the others fill a newcomer up to its limit and no
//! further.
//!
//! The functions see the replicas on offer as [`Load`]s in a fixed order and answer with a position in that list.

use std::time::Duration;

use units::{Capacity, ConcurrencyLimit};

#[cfg(test)]
mod tests;

/// A rule to choose by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// The first on offer that has room.
    FirstAvailable,
    /// The next on offer, after the one chosen last, that has room.
    RoundRobin,
    /// Of two drawn at random the one with less in flight.
    RandomChoice2,
}

/// The largest limit for which the first replicas are filled first.
const FILL_UP_TO: u32 = 3;

/// The policy for replicas of this limit.
pub fn choose(limit: ConcurrencyLimit) -> Policy {
    match limit {
        ConcurrencyLimit::Unlimited => Policy::RandomChoice2,
        ConcurrencyLimit::AtMost(limit) if limit.get() <= FILL_UP_TO => Policy::FirstAvailable,
        ConcurrencyLimit::AtMost(_) => Policy::RoundRobin,
    }
}

/// One replica on offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests in flight to it from here.
    pub in_flight: u32,
    /// How many may be.
    pub capacity: Capacity,
    /// How much of its share it gets, in percent; see [`warmth`]. 1 to 100.
    pub percent: u32,
}

/// A replica that joined others gets its whole share only after so long: servers compile, fill caches and load weights
/// with their first requests, and the choice of the less busy one would send a newcomer everything at once. Longer than
/// such first requests take, shorter than the window over which replicas are ordered.
pub const WARMING: Duration = Duration::from_secs(10);

/// The least share, in percent: what warms it, and what shows early that it cannot do it.
const LEAST_PERCENT: u32 = 10;

/// Which part of its share a replica gets that joined others so long ago, in percent.
pub fn warmth(joined: Duration) -> u32 {
    let percent = joined.as_millis().saturating_mul(100) / WARMING.as_millis();
    u32::try_from(percent).unwrap_or(100).clamp(LEAST_PERCENT, 100)
}

impl Load {
    fn has_room(self) -> bool {
        self.capacity.has_room(self.in_flight)
    }

    /// Would it be busier than the other with the next request, each measured by its share?
    fn is_busier_than(self, other: Self) -> bool {
        let next = |load: Self| u64::from(load.in_flight) + 1;
        next(other) * u64::from(self.percent) < next(self) * u64::from(other.percent)
    }
}

/// The first on offer that has room.
pub fn first_available(offered: &[Load]) -> Option<usize> {
    offered.iter().position(|load| load.has_room())
}

/// The first on offer that has room, from `cursor` on and once round. Moves the cursor behind the one chosen; leaves it
/// where it is if none has room.
///
/// The cursor is a position in the list on offer, not a replica: when the list changes, it stays. Past the end it is 0.
pub fn round_robin(offered: &[Load], cursor: &mut usize) -> Option<usize> {
    if offered.len() <= *cursor {
        *cursor = 0;
    }
    let chosen = (*cursor..offered.len()).chain(0..*cursor).find(|position| offered[*position].has_room())?;
    *cursor = chosen + 1;
    Some(chosen)
}

/// Of two drawn with `random` (64 even bits) the one with less in flight, or the one drawn first. One that gets only a part
/// of its share counts as that much busier; so it gets the more the busier the others are, and all if it is alone.
///
/// Whether they have room is not asked: it is the policy for replicas without a limit.
pub fn random_choice_2(offered: &[Load], random: u64) -> Option<usize> {
    let count = offered.len() as u64;
    let (first, second) = match count {
        0 => return None,
        1 => return Some(0),
        _ => {
            // Each draw takes bits of its own: the high ones by multiplication, as a remainder would favour the front.
            let first = scale(random >> 33, count);
            let others = scale(random & MASK_31, count - 1);
            (first, if others < first { others } else { others + 1 })
        }
    };
    let (first, second) = (first as usize, second as usize);
    Some(if offered[first].is_busier_than(offered[second]) { second } else { first })
}

const MASK_31: u64 = (1 << 31) - 1;

/// 31 random bits to a number below `count`.
fn scale(bits: u64, count: u64) -> u64 {
    (bits * count) >> 31
}
