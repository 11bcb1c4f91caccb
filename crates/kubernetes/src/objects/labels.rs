//! Labels, and who is selected by them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::envelope::or_default;
use crate::names::{COMPONENT_OF_KSERVE, INFERENCE_SERVICE};

/// Labels of an object, sorted by key. Cheap to clone, and shared by all pods that have the same (see [`Interned`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<str>> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Arc<str>, Arc<str>)> {
        self.0.iter()
    }

    /// Does it have all of these? Nothing asked for is nothing matched: an empty selector of a Service selects nobody.
    pub(crate) fn have(&self, wanted: &BTreeMap<Arc<str>, Arc<str>>) -> bool {
        !wanted.is_empty() && wanted.iter().all(|(key, value)| self.get(key) == Some(value))
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(labels: BTreeMap<String, String>) -> Self {
        // A map's pairs come sorted by key.
        Self(labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// The InferenceService whose predictor KServe has made this for, by its labels.
pub(super) fn predicts_for(labels: &BTreeMap<String, String>) -> Option<Arc<str>> {
    let is_predictor = labels.get(COMPONENT_OF_KSERVE).is_some_and(|component| component == "predictor");
    labels.get(INFERENCE_SERVICE).filter(|_| is_predictor).map(|name| name.as_str().into())
}

/// Hands out one and the same copy for equal labels: thousands of pods have a few dozen sets of them.
#[derive(Debug, Default)]
pub(crate) struct Interned(std::collections::BTreeSet<Labels>);

impl Interned {
    pub(crate) fn intern(&mut self, labels: Labels) -> Labels {
        if let Some(known) = self.0.get(&labels) {
            return known.clone();
        }
        // Each rollout brings a new set, so those that nobody has any more are forgotten now and then.
        if self.0.len().is_power_of_two() {
            self.0.retain(|known| 1 < Arc::strong_count(&known.0));
        }
        self.0.insert(labels.clone());
        labels
    }
}

/// `spec.selector` of a Deployment: all of it has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: BTreeMap<Arc<str>, Arc<str>>,
    expressions: Box<[Requirement]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: Box<str>,
    operator: Operator,
    values: Box<[String]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    /// One of a later Kubernetes: whom it selects is not known, so nobody.
    Unknown,
}

/// A selector in JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wire {
    #[serde(default, deserialize_with = "or_default")]
    match_labels: BTreeMap<Arc<str>, Arc<str>>,
    #[serde(default, deserialize_with = "or_default")]
    match_expressions: Vec<WireRequirement>,
}

#[derive(Debug, Deserialize)]
struct WireRequirement {
    #[serde(default, deserialize_with = "or_default")]
    key: String,
    #[serde(default, deserialize_with = "or_default")]
    operator: String,
    #[serde(default, deserialize_with = "or_default")]
    values: Vec<String>,
}

impl From<Wire> for Selector {
    fn from(wire: Wire) -> Self {
        let requirement = |WireRequirement { key, operator, values }| Requirement {
            key: key.into(),
            operator: match operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                _ => Operator::Unknown,
            },
            values: values.into(),
        };
        Self { labels: wire.match_labels, expressions: wire.match_expressions.into_iter().map(requirement).collect() }
    }
}

impl Selector {
    /// The labels that whoever is selected has.
    pub(crate) fn labels(&self) -> &BTreeMap<Arc<str>, Arc<str>> {
        &self.labels
    }

    /// The same as a Service would say it; `None` if it cannot.
    pub(crate) fn for_a_service(&self) -> Option<&BTreeMap<Arc<str>, Arc<str>>> {
        (self.expressions.is_empty() && !self.labels.is_empty()).then_some(&self.labels)
    }

    /// An empty selector selects nobody: a Deployment cannot have one.
    pub(crate) fn selects(&self, labels: &Labels) -> bool {
        let by_labels = self.labels.is_empty() || labels.have(&self.labels);
        let asks = !self.labels.is_empty() || !self.expressions.is_empty();
        asks && by_labels && self.expressions.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let among = value.is_some_and(|value| self.values.iter().any(|known| **known == **value));
        match self.operator {
            Operator::In => among,
            Operator::NotIn => !among,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let pairs: BTreeMap<String, String> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        pairs.into()
    }

    fn selects(selector: Value, pairs: &[(&str, &str)]) -> bool {
        let wire: Wire = serde_json::from_value(selector).unwrap();
        Selector::from(wire).selects(&labels(pairs))
    }

    #[test]
    fn every_label_asked_for_has_to_be_there() {
        let both = json!({ "matchLabels": { "app": "m", "version": "v1" } });
        assert!(selects(both.clone(), &[("app", "m"), ("pod-template-hash", "5"), ("version", "v1")]));
        assert!(!selects(both.clone(), &[("app", "m"), ("version", "v2")]));
        assert!(!selects(both, &[("app", "m")]));
    }

    #[test]
    fn expressions_are_understood_and_unknown_ones_select_nobody() {
        let expression = |operator: &str| json!({ "matchExpressions": [{ "key": "tier", "operator": operator, "values": ["gold", "silver"] }] });
        let (gold, tin, none): (&[_], &[_], &[_]) = (&[("tier", "gold")], &[("tier", "tin")], &[("app", "m")]);
        let of = |operator| [gold, tin, none].map(|labels| selects(expression(operator), labels));
        assert_eq!(of("In"), [true, false, false]);
        assert_eq!(of("NotIn"), [false, true, true]);
        assert_eq!(of("Exists"), [true, true, false]);
        assert_eq!(of("DoesNotExist"), [false, false, true]);
        assert_eq!(of("Resembles"), [false, false, false]);
    }

    #[test]
    fn an_empty_selector_selects_nobody() {
        assert!(!selects(json!({}), &[("app", "m")]));
        assert!(!selects(json!({ "matchLabels": null, "matchExpressions": null }), &[("app", "m")]));
    }

    #[test]
    fn equal_labels_are_kept_once_and_forgotten_when_nobody_has_them() {
        let mut interned = Interned::default();
        let first = interned.intern(labels(&[("app", "m")]));
        let second = interned.intern(labels(&[("app", "m")]));
        assert!(Arc::ptr_eq(&first.0, &second.0));
        for i in 0..1_000 {
            let _ = interned.intern(labels(&[("n", &i.to_string())]));
        }
        assert!(interned.0.len() < 10, "{} sets are kept", interned.0.len());
        assert!(interned.0.contains(&first));
    }
}
