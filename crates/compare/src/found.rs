//! What was found: differences, of which the first are kept, and sums over all numbers.

use std::fmt;

use crate::MOST_DIFFERENCES;
use crate::number::Gap;

/// A place is told in so many characters at most; keys of an object can be of any length.
const LONGEST_PLACE: usize = 160;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The first of them, at most [`MOST_DIFFERENCES`]. None: the answers are alike.
    pub differences: Vec<Difference>,
    /// Those beyond.
    pub more: usize,
    /// How far numbers with a fraction are apart, alike or not.
    pub numbers: Numbers,
    /// Whether scores put the same first.
    pub labels: Labels,
}

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where: a JSON pointer; for an element of a tensor its place in row-major order stands last. Empty for the whole.
    pub place: String,
    /// What differs.
    pub what: What,
}

/// What differs. Sizes and kinds, and no values.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each has one field for each answer")]
pub enum What {
    /// The status codes.
    Status { used: u16, candidate: u16 },
    /// One is JSON, the other is something else, and the like.
    Kind,
    /// This one says that it is JSON and is not.
    NotJson { candidate: bool },
    /// This one says that it has binary tensors and has not.
    NotTensors { candidate: bool },
    /// A value of another kind: text where a number was.
    Type { used: String, candidate: String },
    /// The candidate lacks it.
    Missing,
    /// Only the candidate has it.
    Extra,
    /// Lists of different lengths.
    Length { used: usize, candidate: usize },
    /// Tensors of different shapes.
    Shape { used: Vec<i64>, candidate: Vec<i64> },
    /// Numbers, by so much.
    Number { by: f64 },
    /// Text, from this character on.
    Text { from: usize },
    /// `true` and `false`, or bytes of a tensor.
    Value,
    /// Bodies that are no text.
    Bytes { used: usize, candidate: usize },
}

/// Distances of numbers with a fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    /// How many were compared.
    pub compared: u64,
    /// The largest distance.
    pub largest: f64,
    /// The mean of all distances; 0 if there was none.
    pub mean: f64,
}

/// Rows of scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Rows of two numbers or more.
    pub rows: u64,
    /// Those whose largest number is in the same place in both answers.
    pub agree: u64,
}

impl Comparison {
    /// Does nothing differ?
    pub fn is_alike(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(out, "{}: ", self.place)?;
        }
        write!(out, "{}", self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = |candidate: &bool| if *candidate { "the candidate's" } else { "the model's" };
        match self {
            Self::Status { used, candidate } => write!(out, "status {candidate} instead of {used}"),
            Self::Kind => write!(out, "another kind of answer"),
            Self::NotJson { candidate } => write!(out, "{} answer is no JSON", whose(candidate)),
            Self::NotTensors { candidate } => write!(out, "{} answer has no readable tensors", whose(candidate)),
            Self::Type { used, candidate } => write!(out, "{candidate} instead of {used}"),
            Self::Missing => write!(out, "missing"),
            Self::Extra => write!(out, "not in the model's answer"),
            Self::Length { used, candidate } => write!(out, "{candidate} elements instead of {used}"),
            Self::Shape { used, candidate } => write!(out, "shape {candidate:?} instead of {used:?}"),
            Self::Number { by } => write!(out, "differs by {}", rounded(*by)),
            Self::Text { from } => write!(out, "another text from character {from} on"),
            Self::Value => write!(out, "another value"),
            Self::Bytes { used, candidate } => write!(out, "other bytes, {candidate} instead of {used}"),
        }
    }
}

/// With four digits: what more there are is how the machine writes fractions. Whole ones stay as they are.
fn rounded(number: f64) -> f64 {
    if number.fract() == 0.0 {
        return number;
    }
    format!("{number:.3e}").parse().unwrap_or(number)
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    told: Comparison,
    sum: f64,
}

impl Found {
    pub(crate) fn note(&mut self, place: &str, what: What) {
        if self.told.differences.len() == MOST_DIFFERENCES {
            self.told.more = self.told.more.saturating_add(1);
            return;
        }
        let place = match place.char_indices().nth(LONGEST_PLACE) {
            None => place.to_owned(),
            Some((end, _)) => format!("{}…", place.get(..end).unwrap_or_default()),
        };
        self.told.differences.push(Difference { place, what });
    }

    pub(crate) fn compare_text(&mut self, place: &str, used: &str, candidate: &str) {
        if used != candidate {
            let from = used.chars().zip(candidate.chars()).take_while(|(one, other)| one == other).count();
            self.note(place, What::Text { from });
        }
    }

    /// Two numbers; the place is asked for only if it is told.
    pub(crate) fn compare_numbers(&mut self, gap: Gap, place: impl FnOnce() -> String) {
        if let Some(by) = gap.of_fractions {
            self.told.numbers.compared += 1;
            self.told.numbers.largest = self.told.numbers.largest.max(by);
            self.sum += by;
        }
        if !gap.is_alike {
            self.note(&place(), What::Number { by: gap.by });
        }
    }

    pub(crate) fn note_row(&mut self, agrees: bool) {
        self.told.labels.rows += 1;
        self.told.labels.agree += u64::from(agrees);
    }

    #[expect(clippy::cast_precision_loss, reason = "more numbers than 2^53 are in no answer")]
    pub(crate) fn end(mut self) -> Comparison {
        if 0 < self.told.numbers.compared {
            self.told.numbers.mean = self.sum / self.told.numbers.compared as f64;
        }
        self.told
    }
}
