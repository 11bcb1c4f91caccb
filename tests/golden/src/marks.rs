//! Comparing what came out with what is written down.

use std::fmt::Debug;

/// How far a float may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// At most this much.
    Absolute(f64),
    /// At most this share of the expected value.
    Relative(f64),
    /// Either of the two, whichever allows more.
    Either(f64),
}

impl Tolerance {
    /// What the vectors ask of floats where they say nothing else.
    pub const USUAL: Self = Self::Relative(1e-9);

    fn allows(self, expected: f64, got: f64) -> bool {
        let off = (expected - got).abs();
        let within = match self {
            Self::Absolute(limit) => limit,
            Self::Relative(share) => share * expected.abs(),
            Self::Either(limit) => limit * expected.abs().max(1.0),
        };
        // Equality first: an infinity equals itself although the difference is no number.
        expected == got || off <= within
    }
}

/// Counts and compares the outputs of one line.
#[derive(Debug, Default)]
pub struct Marks {
    op: Option<usize>,
    compared: u64,
}

impl Marks {
    /// From here on it is about the element with this index, from 0, of the line's list.
    pub fn at(&mut self, op: usize) {
        self.op = Some(op);
    }

    /// Counts one output without comparing; for outputs that have several parts, each compared with
    /// [`Marks::same_part`] or [`Marks::close_part`].
    pub fn output(&mut self) {
        self.compared += 1;
    }

    /// One output that must be equal.
    ///
    /// # Errors
    /// If it is not, with both values.
    pub fn same<T: PartialEq + Debug>(&mut self, what: &str, expected: T, got: T) -> Result<(), String> {
        self.output();
        self.same_part(what, expected, got)
    }

    /// One output that must be close enough.
    ///
    /// # Errors
    /// If it is not, with both values.
    pub fn close(&mut self, what: &str, expected: f64, got: f64, tolerance: Tolerance) -> Result<(), String> {
        self.output();
        self.close_part(what, expected, got, tolerance)
    }

    /// A part of an output that must be equal.
    ///
    /// # Errors
    /// If it is not, with both values.
    pub fn same_part<T: PartialEq + Debug>(&self, what: &str, expected: T, got: T) -> Result<(), String> {
        if expected == got { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {got:?}")) }
    }

    /// A part of an output that must be close enough.
    ///
    /// # Errors
    /// If it is not, with both values.
    pub fn close_part(&self, what: &str, expected: f64, got: f64, tolerance: Tolerance) -> Result<(), String> {
        if tolerance.allows(expected, got) {
            Ok(())
        } else {
            Err(format!("{what}: expected {expected:?}, got {got:?} (allowed: {tolerance:?})"))
        }
    }

    /// The index set by [`Marks::at`], as a part of a message.
    pub(crate) fn place(&self) -> String {
        self.op.map(|op| format!(" op {op}")).unwrap_or_default()
    }

    /// How many outputs were compared.
    pub(crate) fn compared(&self) -> u64 {
        self.compared
    }
}
