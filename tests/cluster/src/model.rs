//! A model as the tests deploy it: a Deployment of the stand-in model server, with or without the sidecar, and the
//! `ModelEndpoint` before it. Objects are plain JSON, so that a test changes what it is about and reads as a manifest does.

use std::path::PathBuf;

use serde_json::{Value, json};

/// What the kubelet brings to ask a sidecar whether it has drained.
const TOKEN: &str = "of-the-tests-on-a-cluster-and-long-enough";

/// A Deployment and what its replicas do.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its namespace.
    pub namespace: String,
    /// Its name, which is the revision's.
    pub name: String,
    /// Flags of `rouse predictor`.
    pub flags: Vec<String>,
    /// What each replica has beside it.
    pub beside: Beside,
    /// `spec.replicas`; `None`: left out, as in files that are kept in git.
    pub replicas: Option<u32>,
    /// The most that one replica works on at once, as the sidecar is told; 0: no limit.
    pub limit: u32,
    /// Annotations of the Deployment.
    pub annotations: Value,
    /// A folder of this machine in which each replica notes what it begins, in a file of its own.
    pub log: Option<PathBuf>,
    /// How long a replica is given to end.
    pub grace_seconds: u32,
}

/// What a replica has beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// The sidecar that the webhook gives to whoever asks for one.
    Injected,
    /// One that a person has written. Whom it believes to be an autoscaler, PEM; `None`: it speaks plain TCP.
    ByHand(Option<String>),
}

impl Model {
    /// Without a sidecar, at zero.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            flags: Vec::new(),
            beside: Beside::Nothing,
            replicas: Some(0),
            limit: 0,
            annotations: json!({}),
            log: None,
            grace_seconds: 30,
        }
    }

    /// With flags of `rouse predictor`.
    #[must_use]
    pub fn with(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// With the sidecar, as it is injected.
    #[must_use]
    pub fn with_sidecar(self) -> Self {
        Self { beside: Beside::Injected, ..self }
    }

    /// With a sidecar that is written by hand, and speaks TLS with those of this authority, PEM, if there is one.
    #[must_use]
    pub fn with_sidecar_by_hand(self, authority: Option<&str>) -> Self {
        Self { beside: Beside::ByHand(authority.map(str::to_owned)), ..self }
    }

    /// Its Deployment.
    pub fn deployment(&self) -> Value {
        let labels = json!({ "app": self.name });
        let mut args = vec!["--host".to_owned(), "0.0.0.0".to_owned()];
        args.extend(self.flags.iter().cloned());
        let mut model = json!({
            "name": "model",
            "image": "rouse.dev/predictor",
            "env": [field("POD_NAME", "metadata.name")],
            "ports": [{ "name": "http1", "containerPort": 8080 }],
        });
        let mut pod = json!({
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": self.grace_seconds,
        });
        let mut volumes = Vec::new();
        if let Some(folder) = &self.log {
            args.extend(["--log".to_owned(), "/begun/$(POD_NAME)".to_owned()]);
            model["volumeMounts"] = json!([{ "name": "begun", "mountPath": "/begun" }]);
            volumes.push(json!({ "name": "begun", "hostPath": { "path": folder, "type": "Directory" } }));
        }
        if matches!(self.beside, Beside::ByHand(Some(_))) {
            let token = json!({ "audience": "rouse", "path": "token", "expirationSeconds": 3600 });
            volumes.push(json!({ "name": "token", "projected": { "sources": [{ "serviceAccountToken": token }] } }));
        }
        pod["volumes"] = json!(volumes);
        model["args"] = json!(args);
        if let Beside::ByHand(authority) = &self.beside {
            pod["initContainers"] = json!([self.queue_proxy(authority.as_deref())]);
            // So that the model outlives its last request.
            let token = [json!({ "name": "Authorization", "value": format!("Bearer {TOKEN}") })];
            model["lifecycle"] =
                json!({ "preStop": { "httpGet": { "path": "/drained", "port": 8022, "httpHeaders": token } } });
        } else {
            model["readinessProbe"] = json!({ "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 1 });
        }
        pod["containers"] = json!([model]);
        let mut metadata = json!({ "labels": labels });
        if self.beside == Beside::Injected {
            metadata["labels"]["rouse.dev/inject"] = json!("true");
            // So that the grace stays as it is given here.
            let longest = format!("{}s", self.grace_seconds.saturating_sub(15).max(1));
            metadata["annotations"] = json!({
                "rouse.dev/request-timeout": longest, "rouse.dev/container-concurrency": self.limit.to_string(),
            });
        }
        let mut spec = json!({
            "selector": { "matchLabels": labels },
            "template": { "metadata": metadata, "spec": pod },
        });
        if let Some(replicas) = self.replicas {
            spec["replicas"] = json!(replicas);
        }
        let metadata = json!({ "namespace": self.namespace, "name": self.name, "annotations": self.annotations });
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec })
    }

    /// The sidecar, as a person writes it by hand.
    fn queue_proxy(&self, authority: Option<&str>) -> Value {
        let mut container = json!({
            "name": "queue-proxy",
            "image": "rouse.dev/queue-proxy",
            "restartPolicy": "Always",
            "env": [
                { "name": "UPSTREAM", "value": "127.0.0.1:8080" },
                { "name": "CONTAINER_CONCURRENCY", "value": self.limit.to_string() },
                { "name": "AUTOSCALER", "value": "rouse-autoscaler.rouse.svc.cluster.local:8081" },
                { "name": "ADMIN_TOKEN", "value": TOKEN },
                { "name": "REVISION", "value": self.name },
                field("NAMESPACE", "metadata.namespace"),
                field("POD_NAME", "metadata.name"),
                field("POD_UID", "metadata.uid"),
            ],
            "ports": [
                { "name": "direct", "containerPort": 8012 },
                { "name": "proxied", "containerPort": 8013 },
                { "name": "admin", "containerPort": 8022 },
            ],
            "readinessProbe": { "httpGet": { "path": "/readyz", "port": 8022 }, "periodSeconds": 1 },
            "lifecycle": { "preStop": { "exec": { "command": ["queue-proxy", "leave"] } } },
        });
        if let (Some(authority), Some(env)) = (authority, container["env"].as_array_mut()) {
            env.push(json!({ "name": "AUTOSCALER_CA", "value": authority }));
            env.push(json!({ "name": "AUTOSCALER_TOKEN", "value": "/var/run/secrets/rouse.dev/token" }));
            container["volumeMounts"] = json!([{ "name": "token", "mountPath": "/var/run/secrets/rouse.dev" }]);
        }
        container
    }

    /// An endpoint of this name all of whose traffic goes to it. What is decided about it is quick: short windows, no
    /// grace to speak of.
    pub fn endpoint(&self, name: &str) -> Value {
        json!({
            "apiVersion": "rouse.dev/v1alpha1",
            "kind": "ModelEndpoint",
            "metadata": { "namespace": self.namespace, "name": name },
            "spec": {
                "traffic": [{ "revision": self.name, "percent": 100 }],
                "containerConcurrency": self.limit,
                "autoscaling": { "target": 10, "window": "6s" },
            },
        })
    }
}

fn field(name: &str, path: &str) -> Value {
    json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } })
}
