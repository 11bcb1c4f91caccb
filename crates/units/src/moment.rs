//! A point in time that can be written down.

use std::fmt;
use std::time::Duration;

/// A point on this process's monotonic clock, anchored once to the wall clock when the process started.
///
/// Its whole seconds are Unix seconds, so that windows fall into the same buckets as Knative's; but a step of the wall
/// clock after the start never reaches it. Not `std::time::Instant`: a test can write one down, a log can be replayed,
/// and nothing that holds one can ask what time it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The moment that lies `since_epoch` after 1970-01-01T00:00:00Z.
    pub const fn from_unix(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// The same, in whole milliseconds.
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Time since 1970-01-01T00:00:00Z.
    pub const fn unix(self) -> Duration {
        self.0
    }

    /// Time since `earlier`. Zero when `earlier` is in fact later, so that no caller can make time run backwards.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `later` after this one.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }

    /// The moment `earlier` before this one; the epoch if that would be before it.
    #[must_use]
    pub fn minus(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(earlier))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0.as_secs(), self.0.subsec_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_runs_backwards() {
        let early = Moment::from_unix_millis(1_000);
        let late = Moment::from_unix_millis(3_500);
        assert_eq!(late.since(early), Duration::from_millis(2_500));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.minus(Duration::from_secs(9)), Moment::from_unix_millis(0));
    }
}
