//! How long requests took, as counts in fixed buckets: small, and sums over activators and differences over time are
//! again such counts.
//!
//! Bounds grow by the square root of two from a millisecond. What is read from them is the middle of a bucket, so that it is
//! right to a fifth, wherever in the bucket the times were.

use std::time::Duration;

/// Buckets: 41 with a bound, from 1 ms to 1,049 s, and one for what took longer.
pub const BUCKETS: usize = 42;

/// The bucket that a time falls into.
pub fn bucket(time: Duration) -> usize {
    let doublings = (time.as_secs_f64() * 1e3).log2();
    // The logarithm of nothing is below everything.
    let halves = (doublings * 2.0).ceil().clamp(0.0, (BUCKETS - 1) as f64);
    halves as usize
}

/// The longest time in a bucket; what is beyond the last bound counts as the next.
pub fn bound(bucket: usize) -> Duration {
    Duration::from_secs_f64(1e-3 * (bucket as f64 / 2.0).exp2())
}

/// The time that this share (0 to 1) of what was counted does not exceed: the middle of its bucket, by ratio. `None` if
/// nothing was counted.
pub fn quantile(counts: &[u64], share: f64) -> Option<Duration> {
    // In floating point: what a peer says may add up to more than 64 bits.
    let total: f64 = counts.iter().map(|count| *count as f64).sum();
    if total == 0.0 {
        return None;
    }
    let rank = (total * share).ceil().max(1.0);
    let mut below = 0.0;
    for (bucket, count) in counts.iter().enumerate() {
        let count = *count as f64;
        if rank <= below + count {
            return Some(bound(bucket).mul_f64(0.5_f64.powf(0.25)));
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_is_the_longest_time_of_its_bucket() {
        for number in 1..BUCKETS - 1 {
            assert_eq!(bucket(bound(number).mul_f64(0.999)), number);
            assert_eq!(bucket(bound(number).mul_f64(1.001)), number + 1);
        }
        assert_eq!((bucket(Duration::ZERO), bucket(Duration::from_micros(999))), (0, 0));
        assert_eq!(bucket(Duration::from_secs(86_400)), BUCKETS - 1);
    }

    #[test]
    fn a_quantile_is_right_to_a_fifth() {
        let mut counts = [0; BUCKETS];
        (1..=1_000_u64).for_each(|ms| counts[bucket(Duration::from_millis(ms))] += 1);
        for (share, right) in [(0.5, 0.5), (0.99, 0.99), (1.0, 1.0), (0.1, 0.1)] {
            let seen = quantile(&counts, share).unwrap().as_secs_f64();
            assert!((right * 0.8..right * 1.2).contains(&seen), "{share}: {seen}");
        }
        assert_eq!(quantile(&[0; BUCKETS], 0.5), None);
    }

    #[test]
    fn it_is_so_where_all_took_as_long() {
        for micros in (1_100..5_000_000).step_by(7_919) {
            let (right, mut counts) = (Duration::from_micros(micros), [0; BUCKETS]);
            counts[bucket(right)] = 1_000;
            for share in [0.001, 0.5, 0.99, 1.0] {
                let off = quantile(&counts, share).unwrap().as_secs_f64() / right.as_secs_f64();
                assert!((0.8..1.2).contains(&off), "{right:?}: {off}");
            }
        }
    }

    #[test]
    fn counts_beyond_all_bounds_have_a_quantile_too() {
        assert!(quantile(&[u64::MAX; BUCKETS], 0.5).is_some());
    }
}
