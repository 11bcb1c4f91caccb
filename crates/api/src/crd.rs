//! The CustomResourceDefinition of `ModelEndpoint`, made from `schema.rs`. `make crds` writes it to
//! `deploy/crds/modelendpoints.yaml`, and a test fails while that file says something else.

use serde_json::{Value, json};

use crate::endpoint::bounds;
use crate::read::NameRule;
use crate::schema::{spec, status};

/// It as YAML, with a line about where it comes from.
///
/// # Errors
/// If the YAML library refuses, which is a fault of this program.
pub fn crd_yaml() -> Result<String, serde_saphyr::ser_error::Error> {
    Ok(format!("# Made from crates/api by `make crds`.\n{}", serde_saphyr::to_string(&crd())?))
}

/// It as JSON.
pub fn crd() -> Value {
    let named = json!({
        "kind": "ModelEndpoint",
        "listKind": "ModelEndpointList",
        "plural": "modelendpoints",
        "singular": "modelendpoint",
        "shortNames": ["mep"],
        "categories": ["rouse"],
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "modelendpoints.rouse.dev", "labels": { "app.kubernetes.io/part-of": "rouse" } },
        "spec": {
            "group": "rouse.dev",
            "scope": "Namespaced",
            "names": named,
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "additionalPrinterColumns": columns(),
                "schema": { "openAPIV3Schema": root() },
            }],
        },
    })
}

/// What `kubectl get` shows; with priority 1 only `-o wide`.
fn columns() -> Value {
    let of = |kind: &str, part: &str| format!(".status.conditions[?(@.type==\"{kind}\")].{part}");
    let column = |name: &str, path: &str, priority: u8, doc: &str| json!({ "name": name, "type": "string", "jsonPath": path, "priority": priority, "description": doc });
    json!([
        column("Ready", &of("Ready", "status"), 0, "Are requests answered? True at zero replicas too."),
        column("Reason", &of("Ready", "reason"), 0, "Why it is ready or not."),
        column("Active", &of("Active", "status"), 0, "Is there a replica?"),
        column("URL", ".status.url", 0, "Where a client in the cluster reaches it."),
        column("Path", ".spec.path", 1, "Whether requests may go straight to the replicas."),
        column("Message", &of("Ready", "message"), 1, "Why it is ready or not, in sentences."),
        { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": "Since when it exists." },
    ])
}

fn root() -> Value {
    let most = bounds::TAG_AND_NAME;
    json!({
        "description": "A stable address for a model: requests to it wake replicas, and are split between its revisions.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string", "description": "rouse.dev/v1alpha1." },
            "kind": { "type": "string", "description": "ModelEndpoint." },
            "metadata": { "type": "object" },
            "spec": spec().to_json(),
            "status": status().to_json(),
        },
        "x-kubernetes-validations": [
            {
                "rule": format!("size(self.metadata.name) <= 63 && self.metadata.name.matches('{}')", NameRule::Service.pattern()),
                "message": format!("metadata.name, which its Service has too: {}", NameRule::Service.words()),
            },
            {
                "rule": format!(
                    "self.spec.traffic.all(t, !has(t.tag) || size(t.tag) + size(self.metadata.name) <= {most})"
                ),
                "message": format!("each tag at most {most} characters together with metadata.name: its Service is TAG-NAME"),
            },
        ],
    })
}

#[cfg(test)]
mod tests;
