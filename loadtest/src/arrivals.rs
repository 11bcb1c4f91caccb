//! When requests are due.

use std::time::Duration;

use crate::shape::Shape;

/// How requests are spread over a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// As independent clients do: sometimes many at once, sometimes none.
    #[default]
    Poisson,
    /// One after the other at the same distance.
    Uniform,
}

impl Arrivals {
    /// The moments at which requests are due, from the beginning of `shape`. The same seed gives the same moments.
    pub fn moments(self, shape: &Shape, seed: u64) -> impl Iterator<Item = Duration> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut level = 0.0;
        let levels = std::iter::from_fn(move || {
            level += match self {
                Self::Poisson => -(1.0 - random.f64()).ln(),
                // Half a distance before the first one, as after the last one.
                Self::Uniform => {
                    if level == 0.0 {
                        0.5
                    } else {
                        1.0
                    }
                }
            };
            Some(level)
        });
        shape.moments(levels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Piece;

    fn minute_of(rate: f64) -> Shape {
        Shape(vec![Piece::hold(rate, Duration::from_secs(60))])
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals_and_another_one_gives_others() {
        let of = |seed| Arrivals::Poisson.moments(&minute_of(10.0), seed).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn independent_clients_are_as_many_as_the_rate_says_give_or_take_four_deviations() {
        for seed in 0..50 {
            let count = Arrivals::Poisson.moments(&minute_of(40.0), seed).count() as f64;
            assert!((count - 2_400.0).abs() <= 4.0 * 2_400.0_f64.sqrt(), "seed {seed}: {count}");
        }
    }

    #[test]
    fn even_ones_come_at_the_same_distance() {
        let moments: Vec<Duration> = Arrivals::Uniform.moments(&minute_of(2.0), 0).take(3).collect();
        assert_eq!(moments, [250, 750, 1_250].map(Duration::from_millis));
    }
}
