//! How many, how much.

use std::fmt;
use std::num::NonZeroU32;

/// A number of replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaCount(pub u32);

impl ReplicaCount {
    /// No replica at all.
    pub const ZERO: Self = Self(0);

    /// Is it none?
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for ReplicaCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! non_negative {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
        pub struct $name(f64);

        impl $name {
            /// None at all.
            pub const ZERO: Self = Self(0.0);

            /// `None` for NaN, infinities and negatives: numbers a peer may send that mean nothing.
            pub fn new(value: f64) -> Option<Self> {
                (value.is_finite() && 0.0 <= value).then_some(Self(value))
            }

            /// The bare number, finite and not negative.
            pub fn get(self) -> f64 {
                self.0
            }
        }
    };
}

non_negative! {
    /// Requests in flight, averaged over a window; hence fractional.
    Concurrency
}
non_negative! {
    /// Requests per second, averaged over a window.
    RequestRate
}

/// The most requests one replica may work on at once.
///
/// `containerConcurrency: 0`, which means no limit, becomes [`ConcurrencyLimit::Unlimited`] at the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConcurrencyLimit {
    /// As many as come.
    Unlimited,
    /// At most so many.
    AtMost(NonZeroU32),
}

impl ConcurrencyLimit {
    /// From the field of the API, where 0 means no limit.
    pub fn from_field(container_concurrency: u32) -> Self {
        NonZeroU32::new(container_concurrency).map_or(Self::Unlimited, Self::AtMost)
    }

    /// Back to the field of the API.
    pub fn to_field(self) -> u32 {
        match self {
            Self::Unlimited => 0,
            Self::AtMost(limit) => limit.get(),
        }
    }
}

/// How many requests something can take at once, all in all. Unlike a limit it may be none: a revision without replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capacity {
    /// As many as come.
    Unlimited,
    /// At most so many; 0: none at all.
    AtMost(u32),
}

impl Capacity {
    /// Room for nothing.
    pub const NONE: Self = Self::AtMost(0);

    /// Is there room for one more where `taken` are?
    pub fn has_room(self, taken: u32) -> bool {
        match self {
            Self::Unlimited => true,
            Self::AtMost(most) => taken < most,
        }
    }
}

impl From<ConcurrencyLimit> for Capacity {
    fn from(limit: ConcurrencyLimit) -> Self {
        match limit {
            ConcurrencyLimit::Unlimited => Self::Unlimited,
            ConcurrencyLimit::AtMost(limit) => Self::AtMost(limit.get()),
        }
    }
}

/// A share of traffic, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u8);

impl Percent {
    /// `None` above 100.
    pub fn new(value: u8) -> Option<Self> {
        (value <= 100).then_some(Self(value))
    }

    /// The bare number, 0 to 100.
    pub fn get(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        assert!([f64::NAN, f64::INFINITY, -0.5].into_iter().all(|value| Concurrency::new(value).is_none()));
        assert_eq!(Concurrency::new(2.5).map(Concurrency::get), Some(2.5));
        assert!(Percent::new(101).is_none());
    }

    #[test]
    fn zero_means_unlimited_only_at_the_border() {
        assert_eq!(ConcurrencyLimit::from_field(0), ConcurrencyLimit::Unlimited);
        assert_eq!(ConcurrencyLimit::from_field(7).to_field(), 7);
    }
}
