//! `metadata`, alike for every kind.

use std::collections::BTreeMap;

use crate::read::{Fields, NameRule, Spot};

/// What is kept of `metadata`.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Fields of `metadata` that a cluster writes, or that mean nothing on one machine.
const IGNORED: [&str; 13] = [
    "labels",
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "selfLink",
    "clusterName",
];

/// Reads `metadata` of a document.
pub(crate) fn read_meta(document: &mut Fields<'_>, rule: NameRule) -> Option<Meta> {
    let mut fields = document.need("metadata", "a map with at least a name")?.fields()?;
    // A name that is not allowed is still a name: who refers to it has no fault of his own.
    let name = fields.need("name", "a name").and_then(|spot| spot.name(rule).or(spot.plain().map(str::to_owned)));
    let namespace = match fields.get("namespace") {
        Some(spot) => spot.name(NameRule::Label).or(spot.plain().map(str::to_owned)),
        None => Some("default".to_owned()),
    };
    let annotations = read_annotations(&mut fields);
    fields.ignore(&IGNORED);
    fields.done();
    Some(Meta { namespace: namespace?, name: name?, annotations })
}

/// Reads the annotations of a pod template, whose other metadata is a cluster's business.
pub(crate) fn read_template_annotations(spot: Spot<'_>) -> BTreeMap<String, String> {
    let Some(mut fields) = spot.fields() else { return BTreeMap::new() };
    let annotations = read_annotations(&mut fields);
    fields.ignore(&["name", "namespace"]);
    fields.ignore(&IGNORED);
    fields.done();
    annotations
}

fn read_annotations(fields: &mut Fields<'_>) -> BTreeMap<String, String> {
    fields.get("annotations").map_or_else(BTreeMap::new, Spot::texts)
}
