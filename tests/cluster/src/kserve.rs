//! KServe in its mode Standard, as far as Rouse meets it: its kind, and the objects that its controller makes of an
//! InferenceService. The controller itself is not here: what it would do a test does.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::ground::Ground;
use crate::installed::until;

/// What KServe knows its objects by; it deletes Deployments and Services that carry both and that it does not expect.
pub const LABELS: [&str; 2] = ["serving.kserve.io/inferenceservice", "component"];

/// The fields of an InferenceService that matter here, as KServe has them; others are kept as they come.
pub fn definition() -> Value {
    let whole = json!({ "type": "integer" });
    let predictor = json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "name": { "type": "string" },
            "minReplicas": whole, "maxReplicas": whole, "scaleTarget": whole, "timeout": whole, "containerConcurrency": whole,
            "scaleMetric": { "type": "string", "enum": ["cpu", "memory", "concurrency", "rps"] },
            "annotations": { "type": "object", "additionalProperties": { "type": "string" } },
        },
    });
    let schema = json!({
        "type": "object",
        "properties": {
            "spec": { "type": "object", "required": ["predictor"], "properties": { "predictor": predictor } },
            "status": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "inferenceservices.serving.kserve.io",
        },
        "spec": {
            "group": "serving.kserve.io",
            "scope": "Namespaced",
            "names": {
                "kind": "InferenceService", "plural": "inferenceservices", "singular": "inferenceservice",
                "listKind": "InferenceServiceList", "shortNames": ["isvc"],
            },
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema },
                "subresources": { "status": {} },
            }],
        },
    })
}

/// An InferenceService that is served by a stand-in, or by whatever container a test puts there.
#[derive(Clone, Debug)]
pub struct Inference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its annotations, which KServe hands on to all that it makes.
    pub annotations: Value,
    /// Its labels, likewise.
    pub labels: Value,
    /// What `spec.predictor` says beside its container.
    pub predictor: Value,
    /// The container of the model, called `kserve-container`.
    pub container: Value,
}

impl Inference {
    /// For Rouse, and at zero if nobody asks.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            annotations: json!({
                "serving.kserve.io/deploymentMode": "Standard", "serving.kserve.io/autoscalerClass": "external",
            }),
            labels: json!({}),
            predictor: json!({ "minReplicas": 0, "maxReplicas": 3 }),
            container: json!({
                "name": "kserve-container",
                "image": "rouse.dev/predictor",
                "args": ["--host", "0.0.0.0"],
                "ports": [{ "containerPort": 8080, "protocol": "TCP" }],
            }),
        }
    }

    /// As a person wrote it.
    ///
    /// # Errors
    /// If it has no name or no container.
    pub fn of(object: &Value) -> anyhow::Result<Self> {
        let word = |name: &str| object["metadata"][name].as_str().map(str::to_owned).context(name.to_owned());
        let mut predictor = object["spec"]["predictor"].clone();
        let containers = predictor.as_object_mut().and_then(|fields| fields.remove("containers"));
        let container = containers.as_ref().and_then(|containers| containers.get(0)).context("no container")?;
        Ok(Self {
            namespace: word("namespace")?,
            name: word("name")?,
            annotations: object["metadata"]["annotations"].clone(),
            labels: object["metadata"]["labels"].clone(),
            container: container.clone(),
            predictor,
        })
    }

    /// With an annotation of KServe's.
    #[must_use]
    pub fn annotated(mut self, name: &str, word: &str) -> Self {
        self.annotations[format!("serving.kserve.io/{name}")] = json!(word);
        self
    }

    /// With a setting of Knative's.
    #[must_use]
    pub fn with_setting(mut self, name: &str, value: &str) -> Self {
        self.annotations[format!("autoscaling.knative.dev/{name}")] = json!(value);
        self
    }

    /// What its Deployment and Service are called.
    pub fn made(&self) -> String {
        format!("{}-predictor", self.name)
    }

    /// As a person applies it.
    pub fn object(&self) -> Value {
        let mut predictor = self.predictor.clone();
        predictor["containers"] = json!([self.container]);
        json!({
            "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService",
            "metadata": {
                "namespace": self.namespace, "name": self.name, "annotations": self.annotations, "labels": self.labels,
            },
            "spec": { "predictor": predictor },
        })
    }

    /// An endpoint before it, with short windows.
    pub fn endpoint(&self, name: &str) -> Value {
        json!({
            "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint",
            "metadata": { "namespace": self.namespace, "name": name },
            "spec": { "traffic": [{ "inferenceService": self.name }], "autoscaling": { "window": "6s" } },
        })
    }

    fn metadata(&self, uid: &str) -> Value {
        let mut labels = self.labels.clone();
        labels[LABELS[0]] = json!(self.name);
        labels[LABELS[1]] = json!("predictor");
        labels["app"] = json!(format!("isvc.{}", self.made()));
        json!({
            "namespace": self.namespace, "name": self.made(), "labels": labels, "annotations": self.annotations,
            "ownerReferences": [{
                "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": self.name, "uid": uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        })
    }

    /// The Deployment that KServe makes: with class `external` it says nothing of replicas.
    fn deployment(&self, uid: &str) -> Value {
        let metadata = self.metadata(uid);
        let mut container = self.container.clone();
        container["env"] = json!([{ "name": "INFERENCE_SERVICE_NAME", "value": self.name }]);
        container["imagePullPolicy"] = json!("IfNotPresent");
        container["terminationMessagePath"] = json!("/dev/termination-log");
        container["terminationMessagePolicy"] = json!("File");
        if container.get("readinessProbe").is_none() {
            let port = container["ports"][0]["containerPort"].clone();
            container["readinessProbe"] = json!({
                "tcpSocket": { "port": port }, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1,
                "failureThreshold": 3,
            });
        }
        let mut deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {
                "selector": { "matchLabels": { "app": metadata["labels"]["app"] } },
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "25%", "maxSurge": "25%" } },
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
                "template": {
                    "metadata": { "labels": metadata["labels"], "annotations": self.annotations },
                    "spec": {
                        "containers": [container],
                        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                        "securityContext": {}, "terminationGracePeriodSeconds": 30,
                    },
                },
            },
        });
        if self.annotations["serving.kserve.io/autoscalerClass"] == "none" {
            deployment["spec"]["replicas"] = self.predictor["minReplicas"].clone();
        }
        deployment
    }

    /// The Service that KServe makes: 80 to the first port of the container, and the others as they are.
    fn service(&self, uid: &str) -> Value {
        let metadata = self.metadata(uid);
        let app = &metadata["labels"]["app"];
        let ports = self.container["ports"].as_array().into_iter().flatten().enumerate().map(|(i, port)| {
            let name = port["name"].as_str().unwrap_or_default();
            let mut of_service = json!({
                "port": if i == 0 { json!(80) } else { port["containerPort"].clone() },
                "targetPort": port["containerPort"], "protocol": "TCP",
            });
            if !name.is_empty() {
                of_service["name"] = json!(name);
            }
            if name.contains("grpc") || name.contains("h2c") {
                of_service["appProtocol"] = json!("kubernetes.io/h2c");
            }
            of_service
        });
        let spec = json!({ "selector": { "app": app }, "ports": ports.collect::<Vec<_>>() });
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec })
    }
}

impl Ground {
    /// Installs Rouse, and then the kind, once an endpoint that names one has said that there is none.
    ///
    /// # Errors
    /// If it is not served in time.
    pub async fn with_kserve(&self) -> anyhow::Result<()> {
        let install = async || {
            self.with_rouse().await?;
            self.namespace("before").await?;
            self.apply(&Inference::new("before", "early").endpoint("early")).await?;
            until("an endpoint says that there is no InferenceService", async || {
                let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].message}";
                let said = self.kubectl(&["-n", "before", "get", "mep", "early", "-o", path]).await?;
                ensure!(said.contains("there is no InferenceService early"), "{said}");
                Ok(())
            })
            .await?;
            self.apply(&definition()).await?;
            let name = "crd/inferenceservices.serving.kserve.io";
            self.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", name]).await?;
            anyhow::Ok(())
        };
        self.kserve.get_or_try_init(install).await.copied()
    }

    /// Applies an InferenceService, and what KServe's controller makes of it.
    ///
    /// # Errors
    /// If the API server takes one of them not.
    pub async fn infer(&self, inference: &Inference) -> anyhow::Result<()> {
        let applied = self.apply(&inference.object()).await?;
        let uid = applied.metadata.uid.context("no UID")?;
        self.apply(&inference.deployment(&uid)).await?;
        self.apply(&inference.service(&uid)).await?;
        Ok(())
    }
}
