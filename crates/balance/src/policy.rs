//! The rules by which one of several replicas is chosen. As Knative chooses them, by the limit of a replica:
//!
//! | limit | policy | why |
//! |---|---|---|
//! | none | random choice of two | no replica is ever full; the less busy of two drawn ones keeps the load even |
//! | 1 to 3 | first available | small limits: fill the first ones, so that the last can be taken away |
//! | 4 and more | round robin | large limits: spread |
//!
//! The functions see the replicas on offer as [`Load`]s in a fixed order and answer with a position in that list.

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
}

impl Load {
    fn has_room(self) -> bool {
        self.capacity.has_room(self.in_flight)
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

/// Of two drawn with `random` (64 even bits) the one with less in flight, or the one drawn first.
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
    let is_busier = offered[second as usize].in_flight < offered[first as usize].in_flight;
    Some(if is_busier { second as usize } else { first as usize })
}

const MASK_31: u64 = (1 << 31) - 1;

/// 31 random bits to a number below `count`.
fn scale(bits: u64, count: u64) -> u64 {
    (bits * count) >> 31
}
