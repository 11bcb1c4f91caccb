//! Settings from many places at once, strongest first, where a bad value costs nothing but itself.
//!
//! Each reading is given the one before it. A value that cannot be read, or that contradicts another, is refused and
//! said; in its place counts the last good value of that key in that layer, and without one the next layer's. So adding
//! a bad value never changes the policy in force. Where two values contradict each other, the newcomer is refused; if
//! neither or both are new, the weaker layer's; and within one layer both, for nobody can tell which was meant.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use units::ConcurrencyLimit;

use super::annotations::{Annotations, Surroundings};
use super::refusal::Contradiction;
use super::resolve::policy_of;
use super::sheet::Sheet;
use super::{Annotation, Class, Config, ConfigKey, Place, Policy, Refusal, Warning, settings};

/// Values of one layer, unparsed, and where they stand.
pub type Values<'a, L> = (L, &'a BTreeMap<String, String>);

/// `config-autoscaler` as it counts, the same for all revisions.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// What counts.
    pub config: Config,
    /// What was refused.
    pub refusals: Vec<Refusal<Place>>,
    /// Keys that mean nothing.
    pub warnings: Vec<Warning<Place>>,
    offers: Offers<ConfigKey, Place>,
}

impl Cluster {
    /// Reads the ConfigMap's data; `last` is the result of the reading before this one.
    pub fn read(data: &BTreeMap<String, String>, last: Option<&Self>) -> Self {
        let layers = [(Place::ConfigAutoscaler, data)];
        let last = last.map(|last| &last.offers);
        let (config, offers, refusals) = choose(&Config::knative_defaults(), &layers, &(), last);
        Self { config, refusals, warnings: warnings::<Config, _>(&layers), offers }
    }

    /// The text that counts, if it is set.
    pub(super) fn text(&self, key: ConfigKey) -> Option<&str> {
        self.offers.winner(key).map(|offer| offer.text.as_str())
    }
}

/// Everything that bears on one revision. `L` names a layer; it is given back with what came from there.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a, L> {
    /// Values under `autoscaling.knative.dev/` keys, strongest first. A layer stands here once. Other keys are ignored.
    pub layers: &'a [Values<'a, L>],
    /// What is configured for all.
    pub cluster: &'a Cluster,
    /// The name of `config-autoscaler` among the layers.
    pub config_map: L,
    /// The name of Knative's defaults among the layers.
    pub built_in: L,
    /// What one replica may work on at once, and where that is said: it is the target where no other is given.
    pub container_concurrency: (ConcurrencyLimit, L),
    /// Does anything route to the revision?
    pub reachable: bool,
}

/// What counts for one revision, where each part of it came from, and what was refused on the way. To see whether
/// anything changed compare the policy or the settings: the whole also remembers which values were new.
#[derive(Clone, Debug, PartialEq)]
pub struct InForce<L> {
    /// What to scale by.
    pub policy: Policy,
    /// Who is to scale it. The policy stands for [`Class::Kpa`] and is made in any case.
    pub class: Class,
    /// Every knob by its name in camelCase: its value as text, and where that was said. As configured: an unreachable
    /// revision shows its minimum here, though its policy has none.
    pub settings: BTreeMap<&'static str, Setting<L>>,
    /// What was refused.
    pub refusals: Vec<Refusal<L>>,
    /// Keys that mean nothing.
    pub warnings: Vec<Warning<L>>,
    offers: Offers<Annotation, L>,
}

/// The value of one knob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<L> {
    /// As it was written; the utilisation in percent and the aggregation in one spelling, however they were. A maximum
    /// of 0 is no limit.
    pub value: String,
    /// Where.
    pub source: L,
}

impl<L: Copy + PartialEq> InForce<L> {
    /// Reads all layers; `last` is the result of the reading before this one, of the same revision.
    pub fn read(sources: &Sources<'_, L>, last: Option<&Self>) -> Self {
        let Sources { layers, cluster, container_concurrency, reachable, .. } = *sources;
        let around = Surroundings { config: &cluster.config, refuse_what_does_nothing: true };
        let last = last.map(|last| &last.offers);
        let (annotated, offers, refusals) = choose(&Annotations::default(), layers, &around, last);
        let annotation = |key| offers.winner(key).map(|offer| (offer.text.as_str(), offer.layer));
        Self {
            policy: policy_of(&annotated, &cluster.config, container_concurrency.0, reachable),
            class: annotated.class.clone().unwrap_or_else(|| cluster.config.class.clone()),
            settings: settings::settings(sources, &annotated, annotation),
            refusals,
            warnings: warnings::<Annotations, L>(layers),
            offers,
        }
    }
}

/// For each key the values that may count for it, strongest first.
#[derive(Clone, Debug, PartialEq)]
struct Offers<K, L>(Vec<(K, Vec<Offer<L>>)>);

/// A value that is right by itself.
#[derive(Clone, Debug, PartialEq)]
struct Offer<L> {
    layer: L,
    /// The key as it was spelt.
    name: &'static str,
    text: String,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Written now, and not good before.
    New,
    /// Written now, and good before.
    Proven,
    /// Good before; what is written now is not, or may turn out not to be.
    Kept,
}

impl<K: Copy + PartialEq, L: Copy + PartialEq> Offers<K, L> {
    fn of(&self, key: K) -> &[Offer<L>] {
        self.0.iter().find(|(known, _)| *known == key).map_or(&[], |(_, offers)| offers)
    }

    fn winner(&self, key: K) -> Option<&Offer<L>> {
        self.of(key).first()
    }

    /// The last good value of a key in a layer: after a reading, the strongest of what is left of it.
    fn good(&self, key: K, layer: L) -> Option<&Offer<L>> {
        self.of(key).iter().find(|offer| offer.layer == layer)
    }

    fn withdraw(&mut self, key: K) -> Option<Offer<L>> {
        let (_, offers) = self.0.iter_mut().find(|(known, _)| *known == key)?;
        (!offers.is_empty()).then(|| offers.remove(0))
    }
}

/// Fills a sheet from layers.
fn choose<S: Sheet, L: Copy + PartialEq>(
    blank: &S,
    layers: &[Values<'_, L>],
    around: &S::Surroundings<'_>,
    last: Option<&Offers<S::Key, L>>,
) -> (S, Offers<S::Key, L>, Vec<Refusal<L>>) {
    let mut refusals = Vec::new();
    let mut offers = offers_of(blank, layers, around, last, &mut refusals);
    loop {
        let sheet = filled(blank, &offers, around);
        // All at once: settled one by one, the end would depend on the order, and a newcomer that is refused could
        // bring back what was refused before it.
        let mut losing: BTreeMap<S::Key, String> = BTreeMap::new();
        for contradiction in sheet.contradictions() {
            for (key, allowed) in losers(contradiction, &offers, layers) {
                losing.entry(key).or_insert(allowed);
            }
        }
        if losing.is_empty() {
            return (sheet, offers, refusals);
        }
        for (key, allowed) in losing {
            match offers.withdraw(key) {
                Some(Offer { layer, name, text: value, standing: Standing::New | Standing::Proven }) => {
                    refusals.push(Refusal { key: name, value, allowed, layer });
                }
                // It is not written anywhere now; what is was refused before.
                Some(Offer { standing: Standing::Kept, .. }) | None => {}
            }
        }
    }
}

/// For each key whatever is right by itself; the rest is refused.
fn offers_of<S: Sheet, L: Copy + PartialEq>(
    blank: &S,
    layers: &[Values<'_, L>],
    around: &S::Surroundings<'_>,
    last: Option<&Offers<S::Key, L>>,
    refusals: &mut Vec<Refusal<L>>,
) -> Offers<S::Key, L> {
    let mut sheet = blank.clone();
    let mut all = Vec::new();
    for &key in S::keys() {
        let check = |text: &str| sheet.clone().set(key, text, around);
        let mut offers = Vec::new();
        for &(layer, values) in layers {
            let Some((name, text)) = S::find(key, values) else { continue };
            let good = last.and_then(|last| last.good(key, layer));
            let is_proven = good.is_some_and(|good| good.text == text);
            match check(text) {
                Ok(()) => {
                    let standing = if is_proven { Standing::Proven } else { Standing::New };
                    offers.push(Offer { layer, name, text: text.to_owned(), standing });
                }
                Err(allowed) => refusals.push(Refusal { key: name, value: text.to_owned(), allowed, layer }),
            }
            if let Some(good) = good.filter(|good| !is_proven && check(&good.text).is_ok()) {
                offers.push(Offer { standing: Standing::Kept, ..good.clone() });
            }
        }
        // Later checks look at what counts here.
        if let Some(Offer { text, .. }) = offers.first() {
            let _was_checked = sheet.set(key, text, around);
        }
        all.push((key, offers));
    }
    Offers(all)
}

fn filled<S: Sheet, L: Copy + PartialEq>(blank: &S, offers: &Offers<S::Key, L>, around: &S::Surroundings<'_>) -> S {
    let mut sheet = blank.clone();
    for &key in S::keys() {
        if let Some(offer) = offers.winner(key) {
            let _was_checked = sheet.set(key, &offer.text, around);
        }
    }
    sheet
}

/// Who gives way, with what the other side leaves it. Never who is not set: a default cannot be withdrawn, and two
/// defaults do not contradict each other; so whoever is named here has an offer to withdraw, and the rounds end.
fn losers<K: Copy + PartialEq, L: Copy + PartialEq>(
    contradiction: Contradiction<K>,
    offers: &Offers<K, L>,
    layers: &[Values<'_, L>],
) -> Vec<(K, String)> {
    let weakness = |offer: &Offer<L>| {
        let rank = layers.iter().position(|(layer, _)| *layer == offer.layer);
        (offer.standing == Standing::New, rank)
    };
    let [one, other] = contradiction.between;
    match (offers.winner(one.0).map(weakness), offers.winner(other.0).map(weakness)) {
        (Some(of_one), Some(of_other)) => match of_one.cmp(&of_other) {
            Ordering::Less => vec![other],
            Ordering::Equal => vec![one, other],
            Ordering::Greater => vec![one],
        },
        (Some(_), None) => vec![one],
        (None, Some(_)) => vec![other],
        (None, None) => Vec::new(),
    }
}

fn warnings<S: Sheet, L: Copy>(layers: &[Values<'_, L>]) -> Vec<Warning<L>> {
    let mut warnings = Vec::new();
    for &(layer, values) in layers {
        for key in values.keys() {
            if let Some(nearest) = S::unknown(key) {
                warnings.push(Warning { key: key.clone(), nearest, layer });
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests;
