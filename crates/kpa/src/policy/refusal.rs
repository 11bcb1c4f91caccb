//! A setting that is not believed, said so that the person who wrote it can mend it.

use std::fmt;

/// One value that was refused. `layer` says where it stands; what counts in its place is decided in `layers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal<L> {
    /// The key as it was spelt.
    pub key: &'static str,
    /// The value as it was written.
    pub value: String,
    /// What would be accepted, for people: "6s to 1h in whole seconds".
    pub allowed: String,
    /// Where it was written.
    pub layer: L,
}

impl<L: fmt::Display> fmt::Display for Refusal<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, allowed, layer } = self;
        write!(f, "{layer}: {key}: {value:?} is refused; allowed: {allowed}")
    }
}

/// A key that means nothing. It is ignored, as Knative does, and said, because it may be a slip of the pen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning<L> {
    /// The key as it was spelt.
    pub key: String,
    /// The known key that looks most like it.
    pub nearest: &'static str,
    /// Where it was written.
    pub layer: L,
}

impl<L: fmt::Display> fmt::Display for Warning<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, nearest, layer } = self;
        write!(f, "{layer}: {key} is not a setting and is ignored; the nearest one is {nearest}")
    }
}

/// Two settings, each of which is right by itself, that cannot both be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contradiction<K> {
    /// The two, each with what the other one leaves it.
    pub(super) between: [(K, String); 2],
}

/// The known key that looks most like `key`.
pub(super) fn nearest(key: &str, known: impl Iterator<Item = &'static str>) -> &'static str {
    known.min_by_key(|known| strsim::damerau_levenshtein(known, key)).unwrap_or_default()
}
