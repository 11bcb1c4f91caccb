//! Objects that have a pod in them.

use serde_json::Value;

use super::{Outcome, Sidecar, inject, is_asked_for};

/// What came of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Which: `Deployment shop/recommender`.
    pub name: String,
    /// `None`: it does not ask for a sidecar.
    pub outcome: Option<Outcome>,
}

/// Gives the pods of an object the sidecar: a Pod, a Deployment, a ReplicaSet, a StatefulSet, or a List of them. Those that
/// do not ask for it by their pods' label are left as they are, unless `all` are to have it; one that says another word than
/// `true` never gets it. Tells of each of these kinds; of others there is nothing to tell.
pub fn inject_workload(object: &mut Value, all: bool, sidecar: &Sidecar, token: &str) -> Vec<Changed> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    if kind == "List" || kind.ends_with("List") && object["items"].is_array() {
        let items = object.get_mut("items").and_then(Value::as_array_mut);
        return items.into_iter().flatten().flat_map(|item| inject_workload(item, all, sidecar, token)).collect();
    }
    let pod = match (version.as_str(), kind.as_str()) {
        ("v1", "Pod") => object.as_object().map(|_| ""),
        ("apps/v1", "Deployment" | "ReplicaSet" | "StatefulSet") => {
            object.pointer("/spec/template").map(|_| "/spec/template")
        }
        _ => return Vec::new(),
    };
    let metadata = &object["metadata"];
    let own_name = text(&metadata["name"]);
    let shown = match metadata["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{own_name}"),
        None => format!("{kind} {own_name}"),
    };
    let revision = if kind == "Pod" { revision_of(object) } else { Some(own_name).filter(|name| !name.is_empty()) };
    let pod = pod.and_then(|pod| object.pointer_mut(pod));
    let outcome = match pod {
        None => Some(Outcome::LeftAlone(vec!["it has no pod template".to_owned()])),
        Some(pod) if is_asked_for(pod) || all && pod["metadata"]["labels"][super::INJECT].is_null() => {
            Some(inject(pod, revision.as_deref(), sidecar, token))
        }
        Some(_) => None,
    };
    vec![Changed { name: shown, outcome }]
}

/// The workload that a pod is a replica of, by name: of a Deployment's pod the Deployment, which is its owner's owner.
/// `None` for a pod of its own.
pub(crate) fn revision_of(pod: &Value) -> Option<String> {
    let metadata = &pod["metadata"];
    let owner = metadata["ownerReferences"].as_array()?.iter().find(|owner| owner["controller"] == true)?;
    let name = owner["name"].as_str()?;
    let hash = metadata["labels"]["pod-template-hash"].as_str().filter(|_| owner["kind"] == "ReplicaSet");
    let deployment = hash.and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
    Some(deployment.unwrap_or(name).to_owned())
}
