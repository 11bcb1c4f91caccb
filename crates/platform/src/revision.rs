//! A revision as it is right now: its workload, its replicas, its scale, and what was said about its settings.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use units::{ConcurrencyLimit, EndpointKey, Moment, ReplicaCount, RevisionKey};

/// One revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Its name.
    pub key: RevisionKey,
    /// The endpoint it belongs to.
    pub endpoint: EndpointKey,
    /// Is there a workload, and which version of it?
    pub workload: Workload,
    /// Has it a share, a tag, a match, a shadow, or a part in a rollout? Unreachable ones ignore minimum and delay.
    pub reachable: bool,
    /// The most one replica may work on at once.
    pub container_concurrency: ConcurrencyLimit,
    /// Where that stands: the endpoint's own spec, or KServe's InferenceService.
    pub container_concurrency_from: Source,
    /// Whether each replica has a queue-proxy beside it that counts, bounds and reports.
    pub sidecars: bool,
    /// Settings in Knative's annotation names (`autoscaling.knative.dev/*`), strongest layer first.
    pub layers: Vec<Layer>,
    /// Whether it may be scaled below what it was found with: it was made for Rouse, was marked so, or a request for it
    /// has come through Rouse before and that was written down.
    pub adopted: bool,
    /// Whether others write its scale again and again: then it is only raised, lest two correct each other without end.
    pub contested: bool,
    /// Its copies, oldest first, those on their way out included.
    pub replicas: Vec<Replica>,
    /// How long a start may take before it counts as failed.
    pub progress_deadline: Duration,
    /// Set while the copies that are there fail to start; so never at zero.
    pub trouble: Option<Trouble>,
}

/// The thing that is scaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Named by an endpoint, but not there.
    Missing,
    /// There. `generation` changes with what it runs, not with how many; a change clears a failed start.
    Present {
        /// Version of what it runs.
        generation: u64,
        /// What its `scale` says.
        scale: Scale,
    },
}

impl Revision {
    /// What its `scale` says; `None` if there is no workload.
    pub fn scale(&self) -> Option<&Scale> {
        match &self.workload {
            Workload::Missing => None,
            Workload::Present { scale, .. } => Some(scale),
        }
    }
}

/// Settings from one place, unparsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Where they stand.
    pub source: Source,
    /// Key to value. Keys that are not Knative's are carried too; who reads ignores them.
    pub values: BTreeMap<String, String>,
}

/// Where a setting came from, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Annotations of the Deployment.
    Deployment,
    /// Annotations of its pod template.
    PodTemplate,
    /// Annotations of the InferenceService.
    InferenceService,
    /// `traffic[].autoscaling`.
    Traffic,
    /// `spec.autoscaling`.
    Endpoint,
    /// KServe's `minReplicas`, `maxReplicas`, `scaleTarget`, `scaleMetric`.
    KServe,
    /// The ConfigMap `config-autoscaler`.
    ConfigMap,
    /// Knative's default.
    BuiltIn,
}

impl Source {
    /// As in JSON and in fields of logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::PodTemplate => "pod-template",
            Self::InferenceService => "inference-service",
            Self::Traffic => "traffic",
            Self::Endpoint => "endpoint",
            Self::KServe => "kserve",
            Self::ConfigMap => "config-map",
            Self::BuiltIn => "built-in",
        }
    }
}

/// For people.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deployment => "annotations of the Deployment",
            Self::PodTemplate => "annotations of the pod template",
            Self::InferenceService => "annotations of the InferenceService",
            Self::Traffic => "traffic[].autoscaling of the ModelEndpoint",
            Self::Endpoint => "spec.autoscaling of the ModelEndpoint",
            Self::KServe => "scaling fields of the InferenceService",
            Self::ConfigMap => "ConfigMap config-autoscaler",
            Self::BuiltIn => "built in",
        })
    }
}

/// What the `scale` subresource says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// `spec.replicas`.
    pub replicas: ReplicaCount,
    /// The version this was read at; a precondition of the next write.
    pub version: ScaleVersion,
}

/// Identity and version of a `scale`: UID and resourceVersion on a cluster, a counter locally. Opaque but for equality.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScaleVersion(pub Arc<str>);

/// One running copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The pod's name; locally the revision's name and a number. Never used again.
    pub name: Arc<str>,
    /// Where activators send: the sidecar's proxied port, or the model's own without one. `None` until it has one, and
    /// until it is ready where only the platform can tell (an exec or startup probe): who has an address may be probed.
    pub address: Option<SocketAddr>,
    /// Whether its sidecar takes activators in TLS; as it says where it is declared.
    pub encrypted: bool,
    /// How far it is.
    pub state: ReplicaState,
    /// Since when it is in that state.
    pub since: Moment,
    /// When it was made.
    pub created: Moment,
    /// Since when its process, or its model's container, is known to run; `None` until then. Kept when it has ended.
    pub spawned: Option<Moment>,
}

/// How far a replica is, as the platform knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// Not yet ready. It may already have an address, to be probed for speed.
    Starting,
    /// Ready.
    Ready,
    /// It was ready and is not now; its requests wait for it or go elsewhere.
    Unready,
    /// On its way out; nothing new may be sent to it.
    Leaving,
}

/// Why copies do not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Starts that failed in a row since one last became ready, the workload changed, or it left zero.
    pub crashes_in_a_row: u32,
    /// The reason, for a person: exit status and last lines, `ImagePullBackOff` …
    pub last_words: Arc<str>,
}

/// An activator that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivatorPod {
    /// The name it says in its hello.
    pub name: Arc<str>,
    /// Its pod's UID, likewise.
    pub uid: Arc<str>,
    /// Since when requests can no longer be routed to it; `None` while they can.
    pub out_since: Option<Moment>,
}
