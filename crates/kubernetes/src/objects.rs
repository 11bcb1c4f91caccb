//! What is kept of each object that is watched: small, decoded straight from the API server's JSON.
//!
//! Only what some rule reads is here. A pod is to stay below 512 bytes, as there are many. How the JSON is read is in the
//! modules beneath: `envelope` (what all objects have), `pod`, `deployment`, `others`.

pub(crate) mod deployment;
pub(crate) mod envelope;
pub(crate) mod inference_service;
pub(crate) mod labels;
pub(crate) mod others;
pub(crate) mod pod;
pub(crate) mod stamp;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ServicePort;
use platform::ReplicaState;
use units::Moment;

use crate::names::INJECT;

pub(crate) use envelope::{Kept, Watched};
pub(crate) use labels::{Labels, Selector};
pub(crate) use stamp::{Sight, Stamp};

/// A `ModelEndpoint`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EndpointObject {
    pub(crate) uid: Arc<str>,
    /// `metadata.generation`.
    pub(crate) generation: i64,
    pub(crate) created: Moment,
    /// `spec`, understood; else every fault of it.
    pub(crate) spec: Result<Arc<api::ModelEndpoint>, Arc<api::Faults>>,
    /// What was last written about it; the default if nothing.
    pub(crate) status: Arc<api::status::Status>,
    /// `rouse.dev/…` annotations, and those of its subdomains.
    pub(crate) annotations: BTreeMap<Arc<str>, Arc<str>>,
    /// It is being deleted.
    pub(crate) leaving: bool,
}

impl EndpointObject {
    /// Does it name an InferenceService?
    pub(crate) fn names_kserve(&self) -> bool {
        let traffic = self.spec.as_ref().map(|spec| spec.traffic.as_slice()).unwrap_or_default();
        traffic.iter().any(|target| target.inference_service.is_some())
    }

    /// Does it name one, or is it not understood, so that a spec before this one may be in force that names one?
    pub(crate) fn may_go_by_kserve(&self) -> bool {
        self.spec.is_err() || self.names_kserve()
    }
}

/// A Deployment: what it runs and how many, and what its replicas are like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Deployment {
    pub(crate) uid: Arc<str>,
    pub(crate) resource_version: Arc<str>,
    /// Changes with what it runs, and not with how many: a hash of its pod template, since `metadata.generation` counts
    /// every change of `replicas` too.
    pub(crate) template_generation: u64,
    pub(crate) created: Moment,
    /// `spec.replicas`; absent means 1 for a Deployment.
    pub(crate) replicas: u32,
    /// Who wrote `replicas` last, from `managedFields`: manager and moment, if it says.
    pub(crate) replicas_by: Option<(Arc<str>, Moment)>,
    /// Which pods are its own.
    pub(crate) selector: Selector,
    /// The InferenceService whose predictor it is, by KServe's labels.
    pub(crate) predicts_for: Option<Arc<str>>,
    /// Labels of its pod template.
    pub(crate) template_labels: Labels,
    /// Annotations of its own.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Annotations of its pod template.
    pub(crate) template_annotations: BTreeMap<String, String>,
    /// What its pods are like.
    pub(crate) shape: Shape,
    /// `strategy: Recreate`.
    pub(crate) recreates: bool,
    pub(crate) progress_deadline: Duration,
    /// Its status says that it made no progress within that: the reason in a sentence.
    pub(crate) failing: Option<Arc<str>>,
}

impl Deployment {
    /// `spec.selector.matchLabels`; `None` if it also selects by expressions, which a Service cannot.
    pub(crate) fn match_labels(&self) -> Option<&BTreeMap<Arc<str>, Arc<str>>> {
        self.selector.for_a_service()
    }

    /// Do its pods get a queue-proxy when they are made? A pod that is there says itself whether it has one.
    pub(crate) fn asks_for_sidecar(&self) -> bool {
        self.template_labels.get(INJECT).is_some_and(|word| &**word == "true")
    }

    /// Are its pods to have one?
    pub(crate) fn is_to_have_sidecar(&self) -> bool {
        self.shape.sidecar || self.asks_for_sidecar()
    }
}

/// What the containers of a pod, or of a template, say of how it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// It has a queue-proxy: a container or init container of that name, or one that listens on 8012 and 8013.
    pub(crate) sidecar: bool,
    /// That one takes activators in TLS: it is told whom to believe.
    pub(crate) encrypted: bool,
    /// The model's port: of a container port named `http1`, `h2c` or `http`, else the first, else 8080.
    pub(crate) model_port: u16,
    /// That port's name says h2c.
    pub(crate) speaks_h2c: bool,
    /// Readiness is only Kubernetes' to say: a startup probe, or a readiness probe that is a command or for HTTPS.
    pub(crate) only_platform_tells: bool,
}

/// A pod of a namespace with endpoints.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pod {
    pub(crate) uid: Arc<str>,
    pub(crate) labels: Labels,
    pub(crate) addresses: Box<[IpAddr]>,
    pub(crate) created: Stamp,
    /// How far it is, and since when.
    pub(crate) state: ReplicaState,
    pub(crate) since: Stamp,
    /// It has ended, one way or the other.
    pub(crate) ended: bool,
    pub(crate) shape: Shape,
    /// Since when its model's container is running, or ran last.
    pub(crate) spawned: Option<Stamp>,
    /// Runs of its model's container that have come to an end.
    pub(crate) ends: u32,
    /// Those before it was last ready: they say nothing of how it starts now.
    pub(crate) ends_before: u32,
    /// Why a container waits or how it ended last, in words: `ImagePullBackOff: …`, `exit status 3`.
    pub(crate) trouble: Option<Arc<str>>,
    /// What a ReplicaSet is told it costs to take it away; `None`: nothing, or nothing that is a number.
    pub(crate) deletion_cost: Option<i32>,
}

impl Pod {
    /// Starts that failed in a row.
    pub(crate) fn crashes(&self) -> u32 {
        self.ends.saturating_sub(self.ends_before)
    }
}

/// A Service of a namespace with endpoints.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Service {
    pub(crate) uid: Arc<str>,
    /// What it selects; empty for one without a selector.
    pub(crate) selector: BTreeMap<Arc<str>, Arc<str>>,
    /// The UID of the `ModelEndpoint` that owns it, if one does.
    pub(crate) owner: Option<Arc<str>>,
    /// The InferenceService before whose predictor it is, by KServe's labels.
    pub(crate) predicts_for: Option<Arc<str>>,
    /// Its address in the cluster; `None` for a headless one.
    pub(crate) cluster_ip: Option<IpAddr>,
    /// Of one that belongs to a `ModelEndpoint`: what it listens on. Others' are nobody's business.
    pub(crate) ports: Box<[PortSeen]>,
}

/// A port of a Service, as far as an endpoint says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortSeen {
    pub(crate) name: Option<Box<str>>,
    pub(crate) port: i32,
    pub(crate) app_protocol: Option<Box<str>>,
}

impl Service {
    /// Does it listen on these ports, and no others?
    pub(crate) fn goes_by(&self, ports: &[ServicePort]) -> bool {
        let is = |(seen, wanted): (&PortSeen, &ServicePort)| {
            seen.port == wanted.port
                && seen.name.as_deref() == wanted.name.as_deref()
                && seen.app_protocol.as_deref() == wanted.app_protocol.as_deref()
        };
        self.ports.len() == ports.len() && self.ports.iter().zip(ports).all(is)
    }
}

/// An EndpointSlice of ours: `endpointslice.kubernetes.io/managed-by: rouse`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slice {
    /// The Service that it stands behind.
    pub(crate) service: Arc<str>,
    /// Whom it names.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: Option<u16>,
    /// The name of the endpoint for which it stands behind a Service of KServe's.
    pub(crate) beside_for: Option<Arc<str>>,
}

/// KServe's InferenceService, as far as it is a revision: its predictor. What it does not say is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InferenceService {
    /// Settings among its annotations, as KServe hands them on to its predictor.
    pub(crate) annotations: BTreeMap<String, String>,
    /// `serving.kserve.io/autoscalerClass`: who writes replicas.
    pub(crate) class: Option<Box<str>>,
    /// How KServe serves it.
    pub(crate) mode: Option<Box<str>>,
    /// `serving.kserve.io/stop`: KServe deletes what serves it.
    pub(crate) stopped: bool,
    /// The name of the predictor, one of several while there is a canary.
    pub(crate) predictor: Option<Box<str>>,
    pub(crate) min_replicas: Option<i64>,
    pub(crate) max_replicas: Option<i64>,
    pub(crate) scale_target: Option<i64>,
    pub(crate) scale_metric: Option<Box<str>>,
    pub(crate) container_concurrency: Option<u32>,
    pub(crate) timeout_seconds: Option<u64>,
}

/// Somebody else's scaler, and what it scales.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Autoscaled {
    /// `HorizontalPodAutoscaler` and its name, or `ScaledObject` and its name.
    pub(crate) by: Arc<str>,
    /// The Deployment that it scales.
    pub(crate) deployment: Arc<str>,
}

/// A pod of Rouse's own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OwnPod {
    pub(crate) name: Arc<str>,
    pub(crate) uid: Arc<str>,
    /// The value of [`crate::site::COMPONENT`].
    pub(crate) component: Arc<str>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ready: bool,
    pub(crate) leaving: bool,
    /// Its containers have ended: it can promise and forward nothing more.
    pub(crate) ended: bool,
}

/// The data of `config-autoscaler`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConfigMap(pub(crate) BTreeMap<String, String>);
