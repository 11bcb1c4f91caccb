//! A rate over time: pieces, each of which goes straight from one rate to another.
//!
//! Every shape of load is made of these, so there is one place that integrates and one that inverts the integral.

use std::time::Duration;

/// A piece of time in which the rate goes straight from one value to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// How long.
    pub lasts: Duration,
    /// Requests a second at its beginning; 0 or more.
    pub from: f64,
    /// Requests a second at its end; 0 or more.
    pub to: f64,
}

impl Piece {
    /// The same rate all the time.
    pub fn hold(rate: f64, lasts: Duration) -> Self {
        Self { lasts, from: rate, to: rate }
    }

    /// Requests in all of it.
    fn area(&self) -> f64 {
        self.lasts.as_secs_f64() * (self.from + self.to) / 2.0
    }

    /// After how many seconds `area` requests are due; `area` is at most all of them.
    fn seconds_until(&self, area: f64) -> f64 {
        let slope = (self.to - self.from) / self.lasts.as_secs_f64();
        // from * t + slope * t² / 2 = area, in the form that also holds for a slope of 0.
        let root = (self.from * self.from + 2.0 * slope * area).max(0.0).sqrt();
        if self.from + root == 0.0 { 0.0 } else { 2.0 * area / (self.from + root) }
    }
}

/// Pieces, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape(pub Vec<Piece>);

impl Shape {
    /// How long it lasts.
    pub fn lasts(&self) -> Duration {
        self.0.iter().map(|piece| piece.lasts).sum()
    }

    /// How many requests are due in all of it, on average.
    pub fn requests(&self) -> f64 {
        self.0.iter().map(Piece::area).sum()
    }

    /// The moments at which the integral of the rate reaches each of `levels`, which ascend. Ends with the shape.
    pub fn moments(&self, levels: impl IntoIterator<Item = f64>) -> impl Iterator<Item = Duration> {
        let mut pieces = self.0.iter();
        let mut piece = pieces.next();
        let (mut before, mut begins) = (0.0, Duration::ZERO);
        levels.into_iter().map_while(move |level| {
            loop {
                let current = piece?;
                let area = current.area();
                if level - before <= area && 0.0 < area {
                    return Some(begins + Duration::from_secs_f64(current.seconds_until(level - before)));
                }
                before += area;
                begins += current.lasts;
                piece = pieces.next();
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(shape: &Shape, levels: &[f64]) -> Vec<f64> {
        shape.moments(levels.iter().copied()).map(|at| (at.as_secs_f64() * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn a_ramp_from_nothing_is_twice_as_far_after_four_times_as_many() {
        let ramp = Shape(vec![Piece { lasts: Duration::from_secs(10), from: 0.0, to: 10.0 }]);
        assert_eq!(seconds(&ramp, &[0.5, 2.0, 8.0, 50.0]), [1.0, 2.0, 4.0, 10.0]);
    }

    #[test]
    fn nothing_is_due_in_a_pause() {
        let pause = Piece::hold(0.0, Duration::from_secs(5));
        let shape = Shape(vec![
            pause,
            Piece::hold(1.0, Duration::from_secs(2)),
            pause,
            Piece::hold(1.0, Duration::from_secs(1)),
        ]);
        assert_eq!(seconds(&shape, &[0.5, 1.5, 2.5]), [5.5, 6.5, 12.5]);
        assert_eq!(shape.lasts(), Duration::from_secs(13));
    }

    proptest! {
        #[test]
        fn moments_ascend_within_the_shape_and_there_are_as_many_as_its_area(
            pieces in proptest::collection::vec((1_u64..30, 0.0..50.0_f64, 0.0..50.0_f64), 1..6),
        ) {
            let shape = Shape(pieces.into_iter().map(|(s, from, to)| Piece { lasts: Duration::from_secs(s), from, to }).collect());
            let moments: Vec<Duration> = shape.moments((0..).map(|n| f64::from(n) + 0.5)).collect();
            prop_assert!(moments.is_sorted());
            prop_assert!(moments.last().is_none_or(|last| *last <= shape.lasts() + Duration::from_millis(1)));
            prop_assert!((moments.len() as f64 - shape.requests()).abs() <= 0.5 + 1e-6);
        }
    }
}
