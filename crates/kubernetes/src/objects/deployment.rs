//! Deployments: what of their JSON is kept, and what it means.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use units::RevisionKey;

use super::Deployment;
use super::envelope::{Kept, Meta, or_default};
use super::labels::{self, Labels, predicts_for};
use super::pod;
use crate::world::{Kind, Seen};

/// A Deployment in JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct Wire {
    #[serde(default, deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    spec: Spec,
    #[serde(default, deserialize_with = "or_default")]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    replicas: Option<i64>,
    #[serde(default, deserialize_with = "or_default")]
    selector: labels::Wire,
    #[serde(default, deserialize_with = "or_default")]
    strategy: Strategy,
    progress_deadline_seconds: Option<i64>,
    /// As it stands, so that any change of it is seen.
    #[serde(default)]
    template: Value,
}

#[derive(Debug, Default, Deserialize)]
struct Strategy {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Template {
    #[serde(default, deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    spec: pod::Spec,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default, deserialize_with = "or_default")]
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

impl Status {
    fn failing(&self) -> Option<Arc<str>> {
        let failing = self.conditions.iter().find(|condition| match condition.kind.as_str() {
            "Progressing" => {
                condition.status == "False" && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
            }
            // Pods cannot even be made: a quota, or a webhook that refuses them.
            "ReplicaFailure" => condition.status == "True",
            _ => false,
        })?;
        let words = failing.message.as_deref().or(failing.reason.as_deref()).unwrap_or(&failing.kind);
        Some(words.into())
    }
}

/// Of JSON, whose objects are sorted by key: equal templates have equal ones, in every program.
fn fingerprint(template: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    hasher.finish()
}

impl Kept for Deployment {
    type Wire = Wire;
    type Key = RevisionKey;

    const GROUP: &'static str = "apps";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "Deployment";
    const PLURAL: &'static str = "deployments";
    const WHAT: Kind = Kind::Deployments;

    fn keep(wire: Wire) -> (Meta, Self) {
        let Wire { mut metadata, spec, status } = wire;
        let template = Template::deserialize(&spec.template).unwrap_or_default();
        let deadline = spec.progress_deadline_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let deployment = Self {
            uid: Arc::clone(&metadata.uid),
            resource_version: Arc::clone(&metadata.resource_version),
            template_generation: fingerprint(&spec.template),
            created: metadata.created().moment,
            replicas: spec.replicas.map_or(1, |replicas| u32::try_from(replicas.max(0)).unwrap_or(u32::MAX)),
            replicas_by: metadata.replicas_by(),
            selector: spec.selector.into(),
            predicts_for: predicts_for(&metadata.labels),
            template_labels: Labels::from(template.metadata.labels),
            annotations: settings(std::mem::take(&mut metadata.annotations)),
            template_annotations: settings(template.metadata.annotations),
            shape: template.spec.shape(),
            recreates: spec.strategy.kind.as_deref() == Some("Recreate"),
            progress_deadline: deadline.map_or(api::Deployment::PROGRESS_DEADLINE, Duration::from_secs),
            failing: status.failing(),
        };
        (metadata, deployment)
    }

    fn key(namespace: &Arc<str>, name: &Arc<str>) -> RevisionKey {
        RevisionKey::new(Arc::clone(namespace), Arc::clone(name))
    }

    fn namespace_of(key: &RevisionKey) -> Option<&Arc<str>> {
        Some(&key.namespace)
    }

    fn slots(seen: &mut Seen) -> &mut BTreeMap<RevisionKey, Arc<Self>> {
        &mut seen.deployments
    }
}

/// Of all annotations those that some rule reads; others, as the one in which kubectl keeps the whole object, are large.
pub(super) fn settings(annotations: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let read = |key: &str| {
        let domain = key.split('/').next().unwrap_or_default();
        ["knative.dev", "rouse.dev"].iter().any(|known| domain.ends_with(known))
    };
    annotations.into_iter().filter(|(key, _)| read(key)).collect()
}

#[cfg(test)]
mod tests;
