//! What annotations and `config-autoscaler` have in common: settings that are filled in key by key from text, and the
//! kinds of value both know.

use std::collections::BTreeMap;
use std::time::Duration;

use super::refusal::{Contradiction, Refusal};
use super::{TargetBurstCapacity, text};

/// Settings of one kind. There are two: annotations, and the data of `config-autoscaler`.
pub(super) trait Sheet: Clone {
    /// Names a setting.
    type Key: Copy + Ord + 'static;
    /// What its checks depend on beside the sheet itself.
    type Surroundings<'a>;

    /// All keys, in the order in which they are to be set: a later check may look at an earlier setting.
    fn keys() -> &'static [Self::Key];

    /// The setting among these values: the key as spelt there, and its text.
    fn find(key: Self::Key, values: &BTreeMap<String, String>) -> Option<(&'static str, &str)>;

    /// Sets one, or says what would be allowed and sets nothing.
    fn set(&mut self, key: Self::Key, text: &str, around: &Self::Surroundings<'_>) -> Result<(), String>;

    /// Settings that are right one by one and cannot stand together.
    fn contradictions(&self) -> Vec<Contradiction<Self::Key>>;

    /// If this key looks like a setting and is none: the known key nearest to it.
    fn unknown(key: &str) -> Option<&'static str>;
}

pub(super) const COUNT_ALLOWED: &str = "a whole number from 0 to 2147483647";
pub(super) const WINDOW_ALLOWED: &str = "6s to 1h in whole seconds";
pub(super) const BURST_ALLOWED: &str = "0 or more, or -1 for unlimited";

const HOUR: Duration = Duration::from_secs(3_600);

/// A number of replicas, within 31 bits.
pub(super) fn count(text: &str) -> Option<u32> {
    text::int32(text).filter(|count| 0 <= *count).map(i32::unsigned_abs)
}

pub(super) fn at_least(least: f64, text: &str) -> Option<f64> {
    text::number(text).filter(|value| least <= *value)
}

pub(super) fn more_than(bound: f64, text: &str) -> Option<f64> {
    text::number(text).filter(|value| bound < *value)
}

pub(super) fn within(least: f64, most: f64, text: &str) -> Option<f64> {
    at_least(least, text).filter(|value| *value <= most)
}

/// Exactly -1 is a word for unlimited, not a measurement.
pub(super) fn burst(text: &str) -> Option<TargetBurstCapacity> {
    match text::number(text)? {
        -1.0 => Some(TargetBurstCapacity::Unlimited),
        value => (0.0 <= value).then_some(TargetBurstCapacity::Of(value)),
    }
}

/// A length of time, not negative.
pub(super) fn duration(text: &str) -> Option<Duration> {
    u64::try_from(text::duration(text)?).ok().map(Duration::from_nanos)
}

pub(super) fn up_to_an_hour(text: &str) -> Option<Duration> {
    duration(text).filter(|value| *value <= HOUR)
}

pub(super) fn is_whole_seconds(value: Duration) -> bool {
    value.subsec_nanos() == 0
}

/// A stable window.
pub(super) fn window(text: &str) -> Option<Duration> {
    up_to_an_hour(text).filter(|value| Duration::from_secs(6) <= *value && is_whole_seconds(*value))
}

/// All of `values` or nothing, with every fault there is.
pub(super) fn parse<S: Sheet, L: Copy>(
    blank: S,
    values: &BTreeMap<String, String>,
    around: &S::Surroundings<'_>,
    layer: L,
) -> Result<S, Vec<Refusal<L>>> {
    let mut sheet = blank;
    let mut refusals = Vec::new();
    let mut unread = Vec::new();
    for &key in S::keys() {
        if let Some((name, text)) = S::find(key, values)
            && let Err(allowed) = sheet.set(key, text, around)
        {
            unread.push(key);
            refusals.push(Refusal { key: name, value: text.to_owned(), allowed, layer });
        }
    }
    // A key that could not be read stands at its default here, and whom that contradicts says nothing.
    let mut contradictions = sheet.contradictions();
    contradictions.retain(|contradiction| !contradiction.between.iter().any(|(key, _)| unread.contains(key)));
    for (key, allowed) in contradictions.into_iter().flat_map(|contradiction| contradiction.between) {
        if let Some((name, text)) = S::find(key, values) {
            refusals.push(Refusal { key: name, value: text.to_owned(), allowed, layer });
        }
    }
    if refusals.is_empty() { Ok(sheet) } else { Err(refusals) }
}
