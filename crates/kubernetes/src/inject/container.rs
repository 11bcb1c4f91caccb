//! The sidecar as a container.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::{Value, json};

use super::obstacles::Model;
use super::wishes::Wishes;
use super::{FOR_THE_MODELS_END, Sidecar, all_containers};
use crate::names::{DIRECT_PORT, PROXIED_PORT, SIDECAR, SIDECAR_ADMIN_PORT};
use crate::site::AUDIENCE;

/// The user of queue-proxy's image. Said in the pod too, for a pod may set root for all that do not say.
const USER: u32 = 65532;

/// WebSockets do not end by themselves, and their clients know how to connect again.
const DRAIN_UPGRADED: Duration = Duration::from_secs(60);

/// The volume with which a sidecar proves which pod it is.
pub(super) const TOKEN_VOLUME: &str = "rouse-token";

const TOKEN_FOLDER: &str = "/var/run/secrets/rouse.dev";
const TOKEN_FILE: &str = "token";

/// The kubelet writes a new one when four fifths of it are over.
const TOKEN_SECONDS: u32 = 3_600;

/// A token of the pod's ServiceAccount that is good for proving to Rouse who holds it, and for nothing else.
pub(super) fn token_volume() -> Value {
    let token = json!({ "audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": TOKEN_FILE });
    json!({ "name": TOKEN_VOLUME, "projected": { "sources": [{ "serviceAccountToken": token }] } })
}

/// What it is made of.
pub(super) struct Made<'a> {
    pub(super) sidecar: &'a Sidecar,
    pub(super) model: &'a Model<'a>,
    pub(super) wishes: &'a Wishes,
    /// The model's readiness probe, if it moves here.
    pub(super) probe: Option<&'a Value>,
    /// What the pod has from being told to leave to its end.
    pub(super) grace: Duration,
    /// `None`: the pod is called by its own name.
    pub(super) revision: Option<&'a str>,
    pub(super) token: &'a str,
}

impl Made<'_> {
    pub(super) fn container(&self, spec: &PodSpec) -> Value {
        let mut container = json!({
            "name": SIDECAR,
            "image": self.sidecar.image,
            // Which makes it a sidecar: started before the others, told to end after them.
            "restartPolicy": "Always",
            "env": self.env(),
            "ports": [
                { "name": "direct", "containerPort": DIRECT_PORT, "protocol": "TCP" },
                { "name": "proxied", "containerPort": PROXIED_PORT, "protocol": "TCP" },
                { "name": "admin", "containerPort": SIDECAR_ADMIN_PORT, "protocol": "TCP" },
            ],
            // The model's readiness. The model is asked far more often, and whoever waits for it hears of it at once.
            "readinessProbe": { "httpGet": { "path": "/readyz", "port": SIDECAR_ADMIN_PORT }, "periodSeconds": 1 },
            "lifecycle": { "preStop": { "exec": { "command": ["queue-proxy", "leave"] } } },
            // All that the standard `restricted` of pod security asks for.
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "privileged": false,
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
        });
        if self.sidecar.authorities.is_some() {
            container["volumeMounts"] = json!([{ "name": TOKEN_VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": true }]);
        }
        if let Some(resources) = resources(spec) {
            container["resources"] = resources;
        }
        container
    }

    fn env(&self) -> Vec<Value> {
        let value = |name: &str, value: String| json!({ "name": name, "value": value });
        let field =
            |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
        let upstream = |port: u16| format!("127.0.0.1:{port}");
        let drain = self.grace.saturating_sub(FOR_THE_MODELS_END);
        let mut env = vec![value("UPSTREAM", upstream(self.model.port))];
        env.extend(self.model.grpc_port.map(|port| value("UPSTREAM_GRPC", upstream(port))));
        env.extend(self.probe.map(|probe| value("READINESS_PROBE", plain(&probe.to_string()))));
        env.extend(self.wishes.container_concurrency.map(|limit| value("CONTAINER_CONCURRENCY", limit.to_string())));
        env.extend([
            value("REQUEST_TIMEOUT", api::show_duration(self.wishes.request_timeout.unwrap_or_default())),
            value("DRAIN", api::show_duration(drain)),
            value("DRAIN_STREAMING", api::show_duration(drain)),
            value("DRAIN_UPGRADED", api::show_duration(drain.min(DRAIN_UPGRADED))),
            value("ADMIN_TOKEN", plain(self.token)),
            value("AUTOSCALER", self.sidecar.autoscaler.clone()),
        ]);
        if let Some(authorities) = &self.sidecar.authorities {
            env.push(value("AUTOSCALER_CA", plain(authorities)));
            env.push(value("AUTOSCALER_TOKEN", format!("{TOKEN_FOLDER}/{TOKEN_FILE}")));
        }
        env.extend([
            field("NAMESPACE", "metadata.namespace"),
            field("POD_NAME", "metadata.name"),
            field("POD_UID", "metadata.uid"),
            match self.revision {
                Some(revision) => value("REVISION", revision.to_owned()),
                None => field("REVISION", "metadata.name"),
            },
        ]);
        env
    }
}

/// Kubernetes takes `$(NAME)` in a value for the name of a variable, and `$$` for one `$`.
fn plain(text: &str) -> String {
    text.replace('$', "$$")
}

/// What the sidecar asks for; nothing where the pod says as a whole what it may use. A pod whose class is Guaranteed keeps
/// it: then the sidecar too asks for what it may use.
fn resources(spec: &PodSpec) -> Option<Value> {
    if spec.resources.is_some() {
        return None;
    }
    if !spec.containers.is_empty() && all_containers(spec).all(is_guaranteed) {
        let all = json!({ "cpu": "250m", "memory": "128Mi" });
        return Some(json!({ "requests": all, "limits": all }));
    }
    // Half of the limit is for what waits.
    let mut resources = json!({ "requests": { "cpu": "25m", "memory": "32Mi" }, "limits": { "memory": "256Mi" } });
    // A quota on it refuses a pod of which one container has none.
    let has_limit = |container: &Container| {
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        limits.is_some_and(|limits| limits.contains_key("cpu"))
    };
    if !spec.containers.is_empty() && all_containers(spec).all(has_limit) {
        resources["limits"]["cpu"] = json!("1");
    }
    Some(resources)
}

fn is_guaranteed(container: &Container) -> bool {
    let Some(resources) = &container.resources else { return false };
    ["cpu", "memory"].into_iter().all(|what| {
        let limit = resources.limits.as_ref().and_then(|limits| limits.get(what));
        let request = resources.requests.as_ref().and_then(|requests| requests.get(what));
        limit.is_some() && (request.is_none() || request == limit)
    })
}
