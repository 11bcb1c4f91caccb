//! A metric in buckets, and its average over a window.
//!
//! A ring of buckets; what falls into one bucket adds up. Three properties are Knative's and wanted: a young window
//! averages over its own age; a gap in the middle counts as zero; silence at the end does not count at all until the
//! whole window is silent. What to make of a young or an empty window is for the caller to say.

use std::time::Duration;

use units::Moment;

use crate::Aggregation;

/// The ring. Buckets are numbered by Unix time divided by the granularity.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    aggregation: Aggregation,
    width: Duration,
    granularity: Duration,
    buckets: Vec<f64>,
    /// The sum of `buckets`, kept up incrementally: averages are asked for far more often than buckets end.
    total: f64,
    span: Span,
    /// How much one bucket takes of what the newer ones left; weighted only.
    smoothing: f64,
}

/// From the first bucket written to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    Unwritten,
    /// Resized when all was old: the last write is remembered, what came before counts as written.
    Since {
        last: i64,
    },
    Written {
        first: i64,
        last: i64,
    },
}

impl Span {
    fn last(self) -> Option<i64> {
        match self {
            Self::Unwritten => None,
            Self::Since { last } | Self::Written { last, .. } => Some(last),
        }
    }

    fn buckets(self) -> i64 {
        match self {
            Self::Unwritten => 0,
            Self::Since { .. } => i64::MAX,
            Self::Written { first, last } => last - first + 1,
        }
    }
}

impl Window {
    /// An empty window. `granularity` is taken in whole seconds, at least one; it need not divide `width`.
    pub fn new(aggregation: Aggregation, width: Duration, granularity: Duration) -> Self {
        let granularity = Duration::from_secs(granularity.as_secs().max(1));
        let buckets = bucket_count(width, granularity);
        Self {
            aggregation,
            width,
            granularity,
            buckets: vec![0.0; buckets],
            total: 0.0,
            span: Span::Unwritten,
            smoothing: smoothing(buckets),
        }
    }

    /// How long it is.
    pub fn width(&self) -> Duration {
        self.width
    }

    /// Adds a value measured at `at`. One that is a whole window older than the newest is dropped.
    pub fn record(&mut self, at: Moment, value: f64) {
        let bucket = self.bucket(at);
        if self.span.last() != Some(bucket) {
            if self.span.last().is_some_and(|last| self.width <= self.between(bucket, last)) {
                return;
            }
            self.move_to(bucket);
        }
        let index = self.index(bucket);
        self.buckets[index] += value;
        self.total += value;
    }

    /// Makes room for a bucket other than the newest.
    fn move_to(&mut self, bucket: i64) {
        self.span = match self.span {
            Span::Since { last } | Span::Written { last, .. }
                if last < bucket && self.between(last, bucket) < self.width =>
            {
                for passed in last + 1..=bucket {
                    let index = self.index(passed);
                    self.total -= std::mem::take(&mut self.buckets[index]);
                }
                let first = match self.span {
                    Span::Written { first, .. } => first,
                    Span::Unwritten | Span::Since { .. } => bucket,
                };
                Span::Written { first, last: bucket }
            }
            Span::Since { last } if bucket < last => Span::Written { first: bucket, last },
            Span::Written { first, last } if bucket < last => Span::Written { first: first.min(bucket), last },
            Span::Unwritten | Span::Since { .. } | Span::Written { .. } => {
                self.buckets.fill(0.0);
                self.total = 0.0;
                Span::Written { first: bucket, last: bucket }
            }
        };
    }

    /// Is there nothing in the window? Exactly one window after the last write there still is: a valid zero.
    pub fn is_empty(&self, now: Moment) -> bool {
        self.span.last().is_none_or(|last| self.width < self.between(last, self.bucket(now)))
    }

    /// The average as of `now`; 0 when there is nothing.
    pub fn average(&self, now: Moment) -> f64 {
        let Some(last) = self.span.last() else { return 0.0 };
        match self.aggregation {
            Aggregation::Linear => self.linear(self.bucket(now), last),
            Aggregation::WeightedExponential => {
                if self.is_empty(now) {
                    0.0
                } else {
                    self.weighted(self.bucket(now), last)
                }
            }
        }
    }

    /// What one unit in each of the newest `buckets` buckets adds to the average as of `now`.
    pub fn share_of_newest(&self, now: Moment, buckets: u64) -> f64 {
        let (Some(last), now) = (self.span.last(), self.bucket(now)) else { return 0.0 };
        if self.width <= self.between(last, now) {
            return 0.0;
        }
        let silent = (now - last).max(0);
        match self.aggregation {
            Aggregation::Linear => {
                let divisor = self.divisor(silent) as f64;
                (buckets as f64).min(divisor) / divisor
            }
            Aggregation::WeightedExponential => {
                let keep = 1.0 - self.smoothing;
                keep.powf(silent as f64) * (1.0 - keep.powf(buckets as f64))
            }
        }
    }

    /// When the newest bucket that was written begins.
    pub fn newest(&self) -> Option<Moment> {
        let last = self.span.last()?.max(0).unsigned_abs();
        Some(Moment::from_unix(Duration::from_secs(last.saturating_mul(self.granularity.as_secs()))))
    }

    /// How many buckets an average is taken over, when so many at the end are silent.
    fn divisor(&self, silent: i64) -> i64 {
        self.span.buckets().min(self.buckets.len() as i64 - silent)
    }

    fn linear(&self, now: i64, last: i64) -> f64 {
        if self.width <= self.between(last, now) {
            return 0.0;
        }
        let silent = (now - last).max(0);
        // The slots that come after `last` hold the oldest buckets, which have left the window by now.
        let total = (last + 1..=last + silent).fold(self.total, |total, bucket| total - self.at(bucket));
        round_to_micro(total / self.divisor(silent) as f64)
    }

    fn weighted(&self, now: i64, last: i64) -> f64 {
        let silent = (now - last).max(0);
        let keep = 1.0 - self.smoothing;
        let mut weight = self.smoothing * keep.powf(silent as f64);
        let mut sum = 0.0;
        for back in 0..self.buckets.len() as i64 - silent {
            sum += self.at(last - back) * weight;
            weight *= keep;
        }
        sum
    }

    /// Another width. What both have is kept.
    ///
    /// With `keeps_age` false the kept buckets count as a full old window, as in Knative, even when the old window was
    /// young (quirk Q19a).
    pub fn resize(&mut self, now: Moment, width: Duration, keeps_age: bool) {
        if width == self.width {
            return;
        }
        let mut resized = Self::new(self.aggregation, width, self.granularity);
        if let Some(last) = self.span.last() {
            if self.between(last, self.bucket(now)) <= self.width {
                for back in 0..self.buckets.len().min(resized.buckets.len()) as i64 {
                    let value = self.at(last - back);
                    let index = resized.index(last - back);
                    resized.buckets[index] = value;
                    resized.total += value;
                }
                resized.span = match self.span {
                    Span::Written { first, .. } if keeps_age => Span::Written { first, last },
                    Span::Unwritten | Span::Since { .. } | Span::Written { .. } => {
                        Span::Written { first: last - (self.buckets.len() as i64 - 1), last }
                    }
                };
            } else {
                resized.span = Span::Since { last };
            }
        }
        *self = resized;
    }

    fn bucket(&self, at: Moment) -> i64 {
        (at.unix().as_secs() / self.granularity.as_secs()) as i64
    }

    /// Time from the start of one bucket to that of another; zero if that is not later.
    fn between(&self, from: i64, to: i64) -> Duration {
        Duration::from_secs((to - from).max(0).unsigned_abs().saturating_mul(self.granularity.as_secs()))
    }

    fn index(&self, bucket: i64) -> usize {
        bucket.rem_euclid(self.buckets.len() as i64) as usize
    }

    fn at(&self, bucket: i64) -> f64 {
        self.buckets[self.index(bucket)]
    }
}

fn bucket_count(width: Duration, granularity: Duration) -> usize {
    (width.as_nanos().div_ceil(granularity.as_nanos()) as usize).max(1)
}

/// Chosen so that a whole window holds 99.99 % of the weight, but never so flat that old load lingers.
fn smoothing(buckets: usize) -> f64 {
    (1.0 - (1.0_f64 - 0.9999).powf(1.0 / buckets as f64)).max(0.2)
}

/// Hides the dust of adding and taking off, so that a load of 1 is not rounded up to two replicas. What is left of dust
/// below zero is a plain zero, not a negative one.
fn round_to_micro(value: f64) -> f64 {
    (value * 1e6).round() / 1e6 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_a_plain_zero_also_when_dust_is_left_below_it() {
        let mut window = Window::new(Aggregation::Linear, Duration::from_secs(2), Duration::from_secs(1));
        for (second, value) in [0.7, 0.1, 0.0, 0.0, 0.0].into_iter().enumerate() {
            window.record(Moment::from_unix_millis(second as u64 * 1_000), value);
        }
        assert!(window.total < 0.0, "there is dust: {}", window.total);
        let average = window.average(Moment::from_unix_millis(4_000));
        assert_eq!((average, average.is_sign_negative()), (0.0, false));
    }
}
