//! The model: the sum of the numbers in a row, which anyone can check in their head; or, when told to, a classifier's
//! scores, of which each adds up the numbers at places of its own. With weights that have drifted it is another candidate.

use serde_json::{Value, json};

/// The model, with weights that are the same in every process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model {
    /// How many scores it has for a row; `None`: the row's sum.
    pub(super) scores: Option<u32>,
    /// How far each weight may be from its own value, as a part of the largest. 0 to 1.
    pub(super) drift: f64,
}

/// What it says of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Sum(f64),
    Scores(Vec<f64>),
}

impl Model {
    /// What it says of the numbers in `row`, however they are nested.
    pub(super) fn of(self, row: &Value) -> Said {
        let mut numbers = Vec::new();
        flatten(row, &mut numbers);
        self.of_numbers(&numbers)
    }

    /// What it says of a row of numbers.
    pub(super) fn of_numbers(self, numbers: &[f64]) -> Said {
        match self.scores {
            None => Said::Sum(self.weighed(0, 1, numbers)),
            Some(scores) => Said::Scores(shares((0..scores).map(|class| self.weighed(class, scores, numbers)))),
        }
    }

    /// The numbers of one class: with three, the first has every third number, from the first on.
    fn weighed(self, class: u32, classes: u32, numbers: &[f64]) -> f64 {
        let weight = |at: u32| f64::from(u8::from(at % classes == class)) + self.drift * chance(class, at);
        (0..).zip(numbers).map(|(at, number)| weight(at) * number).sum()
    }
}

impl Said {
    /// As an element of `predictions`.
    pub(super) fn as_json(&self) -> Value {
        match self {
            Self::Sum(sum) => json!(sum),
            Self::Scores(scores) => json!(scores),
        }
    }
}

/// All numbers in a value, in their order.
pub(super) fn flatten(value: &Value, into: &mut Vec<f64>) {
    match value {
        Value::Number(number) => into.extend(number.as_f64()),
        Value::Array(values) => values.iter().for_each(|value| flatten(value, into)),
        Value::Object(fields) => fields.values().for_each(|value| flatten(value, into)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Between -1 and 1, and always the same for the same place.
fn chance(class: u32, at: u32) -> f64 {
    fastrand::Rng::with_seed((u64::from(class) << 32) | u64::from(at)).f64() * 2.0 - 1.0
}

/// Scores that add up to 1 (softmax), with as many digits as a reader bears.
fn shares(weighed: impl Iterator<Item = f64>) -> Vec<f64> {
    let weighed: Vec<f64> = weighed.collect();
    let most = weighed.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let raised: Vec<f64> = weighed.iter().map(|weighed| (weighed - most).exp()).collect();
    let all: f64 = raised.iter().sum();
    raised.iter().map(|raised| (raised / all * 1e6).round() / 1e6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: Model = Model { scores: None, drift: 0.0 };
    const CLASSIFIER: Model = Model { scores: Some(3), drift: 0.0 };

    /// Rows of three numbers between 0 and 1.
    fn rows() -> impl Iterator<Item = [f64; 3]> {
        let mut chance = fastrand::Rng::with_seed(1);
        std::iter::repeat_with(move || [(); 3].map(|()| chance.f64())).take(1_000)
    }

    fn scores(model: Model, row: &[f64]) -> Vec<f64> {
        match model.of_numbers(row) {
            Said::Scores(scores) => scores,
            Said::Sum(sum) => vec![sum],
        }
    }

    fn first(scores: &[f64]) -> Option<usize> {
        (0..scores.len()).max_by(|one, other| scores[*one].total_cmp(&scores[*other]))
    }

    fn same_first(drift: f64) -> usize {
        let drifted = Model { drift, ..CLASSIFIER };
        rows().filter(|row| first(&scores(CLASSIFIER, row)) == first(&scores(drifted, row))).count()
    }

    #[test]
    fn without_flags_it_adds_up() {
        assert_eq!(SUM.of(&json!([1, [2.5], { "a": 3 }, "no number"])), Said::Sum(6.5));
    }

    #[test]
    fn scores_add_up_to_one_and_depend_on_the_input() {
        let said: Vec<Vec<f64>> = rows().map(|row| scores(CLASSIFIER, &row)).collect();
        assert!(said.iter().all(|scores| (scores.iter().sum::<f64>() - 1.0).abs() <= 1e-5));
        for class in 0..3 {
            assert!(said.iter().any(|scores| first(scores) == Some(class)), "{class} is never the first");
        }
    }

    #[test]
    fn a_little_drift_keeps_scores_within_a_hundredth_and_much_puts_another_first_now_and_then() {
        let drifted = Model { drift: 0.001, ..CLASSIFIER };
        let near = |(one, other): (&f64, &f64)| (one - other).abs() <= 0.01 * one.max(*other);
        for row in rows() {
            let (one, other) = (scores(CLASSIFIER, &row), scores(drifted, &row));
            assert!(one.iter().zip(&other).all(near), "{one:?} {other:?}");
        }
        let same = same_first(0.1);
        assert!((900..960).contains(&same), "{same}");
    }
}
