//! When two numbers are alike, and what is first among scores.

use serde_json::Number;

/// How far two numbers are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Gap {
    pub(crate) is_alike: bool,
    /// Their distance. Infinite if only one of them is a number at all.
    pub(crate) by: f64,
    /// The same if it counts as a distance of fractions: it is finite, and not both are whole.
    pub(crate) of_fractions: Option<f64>,
}

/// A number of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar {
    /// Was written or is typed as a whole number: a label, a count, an identifier.
    Whole(i128),
    Fraction(f64),
}

impl Scalar {
    pub(crate) fn of(number: &Number) -> Self {
        let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
        whole.map_or_else(|| Self::Fraction(number.as_f64().unwrap_or(f64::NAN)), Self::Whole)
    }

    #[expect(clippy::cast_precision_loss, reason = "where it is lost, a tolerance is looked at or a rank")]
    pub(crate) fn value(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Fraction(fraction) => fraction,
        }
    }

    /// Whole numbers are to be equal. Others may differ by this part of the larger; what is not a number equals itself.
    pub(crate) fn gap(self, other: Self, tolerance: f64) -> Gap {
        let (one, two) = (self.value(), other.value());
        if let (Self::Whole(whole), Self::Whole(another)) = (self, other) {
            return Gap { is_alike: whole == another, by: (one - two).abs(), of_fractions: None };
        }
        if one == two || (one.is_nan() && two.is_nan()) {
            return Gap { is_alike: true, by: 0.0, of_fractions: Some(0.0) };
        }
        let by = (one - two).abs();
        if !by.is_finite() {
            return Gap { is_alike: false, by: f64::INFINITY, of_fractions: None };
        }
        Gap { is_alike: by <= tolerance * one.abs().max(two.abs()), by, of_fractions: Some(by) }
    }
}

/// Where the largest is; of equals the first. `None` without a number.
pub(crate) fn first_of(scores: &[Scalar]) -> Option<usize> {
    let mut first: Option<(usize, f64)> = None;
    for (place, score) in scores.iter().map(|score| score.value()).enumerate() {
        if !score.is_nan() && first.is_none_or(|(_, largest)| largest < score) {
            first = Some((place, score));
        }
    }
    first.map(|(place, _)| place)
}
