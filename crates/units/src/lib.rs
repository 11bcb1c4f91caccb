//! Quantities with their units, and the names of things.
//!
//! Constructors refuse nonsense (NaN, infinities, negatives), so nobody downstream checks. Nothing here reads a
//! clock: a [`Moment`] is made at the edge, by `daemon::Clock`, and handed in.

mod moment;
mod name;
mod quantity;
mod size;

pub use moment::Moment;
pub use name::{EndpointKey, Incarnation, RevisionKey};
pub use quantity::{Capacity, Concurrency, ConcurrencyLimit, Percent, ReplicaCount, RequestRate};
pub use size::{parse_size, show_size};
