//! How long to wait before a crashed replica is followed by another.

use std::time::Duration;

use units::Moment;

/// The second fall in a row waits so long, each further one twice as long. Kubernetes begins with 10 s, to spare a
/// registry and a scheduler; here a start costs a millisecond, and a person is looking on. Five starts that fail at
/// once, after which the autoscaler gives up, then take 0.7 s.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait. Kubernetes' 5 min would look like a hang on a desk.
const LONGEST: Duration = Duration::from_secs(10);
/// Who was ready for so long has proven that it works; the row of falls ends.
const PROVEN: Duration = Duration::from_secs(10);

/// The falls of one revision in a row, and when the next start may be.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    falls: u32,
    not_before: Option<Moment>,
}

impl Backoff {
    /// A replica ended that nobody had asked to. `ready_for`: how long it had been ready; `None` if it never was.
    pub(crate) fn fell(&mut self, now: Moment, ready_for: Option<Duration>) {
        if ready_for.is_some_and(|ready_for| PROVEN <= ready_for) {
            self.falls = 0;
        }
        self.falls = self.falls.saturating_add(1);
        // The first is followed at once, as in Kubernetes: most falls are single ones.
        let doublings = self.falls.checked_sub(2);
        let wait = doublings.map_or(Duration::ZERO, |n| FIRST.saturating_mul(1 << n.min(16)).min(LONGEST));
        self.not_before = Some(now.plus(wait));
    }

    /// What is to be waited for still; zero if nothing is.
    pub(crate) fn left(&self, now: Moment) -> Duration {
        self.not_before.map_or(Duration::ZERO, |not_before| not_before.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(ready_for: &[Option<u64>]) -> Vec<u128> {
        let now = Moment::from_unix_millis(1_000_000);
        let mut backoff = Backoff::default();
        ready_for
            .iter()
            .map(|ready_for| {
                backoff.fell(now, ready_for.map(Duration::from_secs));
                backoff.left(now).as_millis()
            })
            .collect()
    }

    #[test]
    fn the_first_fall_is_free_and_each_further_one_waits_twice_as_long_up_to_ten_seconds() {
        assert_eq!(waits(&[None; 10]), [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    }

    #[test]
    fn who_was_ready_for_long_begins_anew_and_who_was_ready_briefly_does_not() {
        assert_eq!(waits(&[None, None, Some(3), Some(60), None]), [0, 100, 200, 0, 100]);
    }
}
