//! What this activator counts of one revision for comparing it with others, for as long as the split stays as it is.
//!
//! A request is counted when it is over, under one lock: what is read is always whole requests. What the numbers mean, and
//! which requests belong here: `traffic::outcome`.

use http::HeaderValue;
use parking_lot::Mutex;
use traffic::outcome::{Moments, Sums, outcome_of};
use units::Moment;
use wire::durations;

use crate::metrics::Outcome;

/// Counts from zero since it was made.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Drawn when it was made.
    run: u64,
    /// The name of the split.
    split: u64,
    /// When it was made.
    pub(crate) began: Moment,
    sums: Mutex<Sums>,
}

/// The head of a replica's answer, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    status: u16,
    at: Moment,
    /// What it says of itself; the inner `None` if that is no number.
    said: Option<Option<f64>>,
}

impl Head {
    /// It came just now.
    pub(crate) fn new(status: http::StatusCode, said: Option<&HeaderValue>, at: Moment) -> Self {
        Self { status: status.as_u16(), at, said: said.map(|said| outcome_of(said.as_bytes())) }
    }
}

impl Tally {
    pub(crate) fn new(split: u64, began: Moment) -> Self {
        let buckets = vec![0; durations::BUCKETS];
        let sums = Sums { first_byte_buckets: buckets.clone(), duration_buckets: buckets, ..Sums::default() };
        Self { run: fastrand::u64(1..), split, began, sums: Mutex::new(sums) }
    }

    pub(crate) fn split(&self) -> u64 {
        self.split
    }

    /// One is over that was handed to a replica at `handed_over`. Times count from there: how long it waited for a replica
    /// says nothing of the model. Those of answers that failed do not: who fails fast is not fast.
    pub(crate) fn ended(&self, outcome: Outcome, head: Option<Head>, handed_over: Option<Moment>, now: Moment) {
        let mut sums = self.sums.lock();
        match (outcome, head) {
            (Outcome::Answered, Some(head)) => {
                sums.answered(head.status, head.said);
                let is_counted = head.status < 500 && head.status != 101;
                if let Some(from) = handed_over.filter(|_| is_counted) {
                    let (first_byte, duration) = (head.at.since(from), now.since(from));
                    sums.first_byte.add(first_byte.as_secs_f64());
                    sums.first_byte_buckets[durations::bucket(first_byte)] += 1;
                    sums.duration.add(duration.as_secs_f64());
                    sums.duration_buckets[durations::bucket(duration)] += 1;
                }
            }
            (Outcome::Refused | Outcome::FellBack, _) => sums.refused += 1,
            (Outcome::Answered | Outcome::ClientGone, _) => sums.gone += 1,
        }
    }

    /// As it is said to autoscalers. `began_us`: when it was made, on the clock of frames.
    pub(crate) fn said(&self, began_us: u64) -> wire::Tally {
        let sums = self.sums.lock().clone();
        let moments = |of: Moments| {
            let Moments { count, mean, squares } = of;
            (count != 0).then_some(wire::Moments { count, mean, squares })
        };
        wire::Tally {
            run: self.run,
            split: self.split,
            answers: without_zeros_at_the_end(sums.answers.to_vec()),
            refused: sums.refused,
            gone: sums.gone,
            first_byte: moments(sums.first_byte),
            first_byte_buckets: without_zeros_at_the_end(sums.first_byte_buckets),
            duration: moments(sums.duration),
            duration_buckets: without_zeros_at_the_end(sums.duration_buckets),
            outcome: moments(sums.outcome),
            malformed: sums.malformed,
            began_us,
        }
    }
}

fn without_zeros_at_the_end(mut counts: Vec<u64>) -> Vec<u64> {
    counts.truncate(counts.iter().rposition(|count| *count != 0).map_or(0, |last| last + 1));
    counts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    #[test]
    fn times_count_from_the_replica_on_and_only_of_answers_that_did_not_fail() {
        let (tally, arrived) = (Tally::new(7, Moment::from_unix_millis(0)), Moment::from_unix_millis(1_000));
        let at = |millis| arrived.plus(Duration::from_millis(millis));
        let good = HeaderValue::from_static("0.5");
        let head = Head::new(StatusCode::OK, Some(&good), at(5_100));
        tally.ended(Outcome::Answered, Some(head), Some(at(5_000)), at(5_300));
        let failed = Head::new(StatusCode::BAD_GATEWAY, None, at(1));
        tally.ended(Outcome::Answered, Some(failed), Some(at(0)), at(1));
        let bad = HeaderValue::from_static("good");
        let talked = Head::new(StatusCode::SWITCHING_PROTOCOLS, Some(&bad), at(1));
        tally.ended(Outcome::Answered, Some(talked), Some(at(0)), at(3_600_000));
        tally.ended(Outcome::Refused, None, None, at(9));
        tally.ended(Outcome::ClientGone, None, Some(at(0)), at(9));

        let said = tally.said(9);
        assert_eq!((said.answers, said.refused, said.gone, said.malformed), (vec![2, 0, 0, 1], 1, 1, 1));
        let seconds = |of: Option<wire::Moments>| of.map(|of| (of.count, of.mean));
        assert_eq!((seconds(said.first_byte), seconds(said.duration)), (Some((1, 0.1)), Some((1, 0.3))));
        assert_eq!(seconds(said.outcome), Some((1, 0.5)));
        assert_eq!(said.duration_buckets.iter().sum::<u64>(), 1);
        assert_eq!(said.duration_buckets.len(), durations::bucket(Duration::from_millis(300)) + 1);
    }
}
