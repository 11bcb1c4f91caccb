//! Who has certain labels, without asking everybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::objects::Labels;

/// Things with labels, found by them.
pub(super) struct ByLabel<'a, T> {
    things: Vec<(&'a Labels, T)>,
    /// By each label, who has it.
    holders: BTreeMap<&'a (Arc<str>, Arc<str>), Vec<usize>>,
}

impl<'a, T: Copy> ByLabel<'a, T> {
    pub(super) fn of(things: impl Iterator<Item = (&'a Labels, T)>) -> Self {
        let things: Vec<_> = things.collect();
        let mut holders: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (i, (labels, _)) in things.iter().enumerate() {
            for label in labels.iter() {
                holders.entry(label).or_default().push(i);
            }
        }
        Self { things, holders }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = T> {
        self.things.iter().map(|(_, thing)| *thing)
    }

    /// Those that have all of these labels. Nothing asked for is nobody.
    pub(super) fn with(&self, wanted: &BTreeMap<Arc<str>, Arc<str>>) -> impl Iterator<Item = T> {
        self.candidates(wanted)
            .iter()
            .map(|i| &self.things[*i])
            .filter(|(labels, _)| labels.have(wanted))
            .map(|(_, thing)| *thing)
    }

    /// Those that have the rarest of these labels: whoever has all of them is among these.
    pub(super) fn candidates(&self, wanted: &BTreeMap<Arc<str>, Arc<str>>) -> &[usize] {
        let holders = wanted.iter().map(|(key, value)| {
            let label = (Arc::clone(key), Arc::clone(value));
            self.holders.get(&label).map_or(&[][..], Vec::as_slice)
        });
        holders.min_by_key(|holders| holders.len()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn wanted(pairs: &[(&str, &str)]) -> BTreeMap<Arc<str>, Arc<str>> {
        pairs.iter().map(|(key, value)| (Arc::from(*key), Arc::from(*value))).collect()
    }

    #[test]
    fn those_with_all_labels_are_found_and_no_others() {
        let all = [[("app", "a"), ("v", "1")], [("app", "a"), ("v", "2")], [("app", "b"), ("v", "1")]];
        let all = all.map(|pairs| Labels::from(labels(&pairs)));
        let index = ByLabel::of(all.iter().zip(0..));
        let found = |pairs| index.with(&wanted(pairs)).collect::<Vec<usize>>();
        assert_eq!(found(&[("app", "a")]), [0, 1]);
        assert_eq!(found(&[("app", "a"), ("v", "1")]), [0]);
        assert_eq!(found(&[("app", "b"), ("v", "2")]), [0; 0]);
        assert_eq!(found(&[]), [0; 0]);
    }

    #[test]
    fn a_thousand_deployments_in_one_namespace_look_at_each_pod_about_once() {
        let name = |i: usize| format!("m{}", i / 2);
        let all: Vec<Labels> =
            (0..2_000).map(|i| labels(&[("app", &name(i)), ("team", "vision"), ("tier", "gold")]).into()).collect();
        let index = ByLabel::of(all.iter().zip(0..));
        let looked_at = |i| index.candidates(&wanted(&[("app", &format!("m{i}")), ("team", "vision")])).len();
        assert_eq!((0..1_000).map(looked_at).sum::<usize>(), 2_000);
    }
}
