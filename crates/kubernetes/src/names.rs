//! What things of ours are called in a cluster, and what versions of things of others are.

use std::sync::Arc;

use platform::ScaleVersion;
use units::ReplicaCount;

/// A replica's port for requests that no activator has forwarded: the sidecar's. Where every endpoint's Service goes.
pub(crate) const DIRECT_PORT: u16 = 8012;

/// A replica's port for requests that an activator forwards: the sidecar's.
pub(crate) const PROXIED_PORT: u16 = 8013;

/// A sidecar's port for the kubelet and for people: health, metrics, hooks.
pub(crate) const SIDECAR_ADMIN_PORT: u16 = 8022;

/// The name of the sidecar among a pod's containers.
pub(crate) const SIDECAR: &str = "queue-proxy";

/// Label of a pod: `"true"` asks for the sidecar.
pub(crate) const INJECT: &str = "rouse.dev/inject";

/// Annotation of a pod that gets a sidecar: the model's port, by number or name.
pub(crate) const PORT: &str = "rouse.dev/port";

/// Annotation of a pod that gets a sidecar: how long a request may take.
pub(crate) const REQUEST_TIMEOUT: &str = "rouse.dev/request-timeout";

/// Annotation of a pod that gets a sidecar: the most requests at the model at once.
pub(crate) const CONTAINER_CONCURRENCY: &str = "rouse.dev/container-concurrency";

/// Annotation of a Deployment or a ModelEndpoint: it may be scaled below what it was found with.
pub(crate) const ADOPT: &str = "rouse.dev/adopt";

/// Annotation of a ModelEndpoint: `adopted.rouse.dev/<revision>`, written once a first request has come through Rouse.
pub(crate) const ADOPTED_DOMAIN: &str = "adopted.rouse.dev";

/// Label of KServe's objects: the InferenceService for which they are. With the next one on it KServe takes an object for
/// its own, and deletes Deployments and Services that it does not expect: nothing of Rouse's carries the two.
pub(crate) const INFERENCE_SERVICE: &str = "serving.kserve.io/inferenceservice";

/// Label of KServe's objects: `predictor`, `transformer` or `explainer`.
pub(crate) const COMPONENT_OF_KSERVE: &str = "component";

/// Annotation of the Lease: the number of the newest leadership.
pub(crate) const EPOCH: &str = "rouse.dev/epoch";

/// Annotation of the authority's Secret: a person asks for a rotation by writing there what was not there before.
pub(crate) const ROTATE: &str = "rouse.dev/rotate";

/// Annotation of a Secret with a certificate: the authority that signed it.
pub(crate) const SIGNED_BY: &str = "rouse.dev/signed-by";

/// Annotation of a Secret with a certificate: nobody believes it from then on.
pub(crate) const EXPIRES: &str = "rouse.dev/expires";

/// Annotation of a pod, Kubernetes' own: what it costs to take it away. A ReplicaSet takes the cheapest of its ready pods
/// first; without it a pod costs 0.
pub(crate) const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Label of the objects that are made for an endpoint: its name.
pub(crate) const ENDPOINT: &str = "rouse.dev/endpoint";

/// Label of a Kubernetes slice: the Service that it stands behind.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Label of a Kubernetes slice: who keeps it.
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// The Services of an endpoint: its own, named like it, and one for each tag. They all go the same way.
pub(crate) fn services_of(endpoint: &api::ModelEndpoint) -> Vec<String> {
    let name = &endpoint.key.name;
    let tags = endpoint.traffic.iter().filter_map(|target| target.tag.as_ref());
    std::iter::once(name.to_string()).chain(tags.map(|tag| format!("{tag}-{name}"))).collect()
}

/// The version of a `scale`: `<uid>/<resourceVersion>/<replicas>`.
///
/// A Deployment's resourceVersion also changes whenever its controller writes status. With the replicas in the version,
/// whoever is told that it changed can tell such a write from a change of what is ordered here.
pub(crate) fn scale_version(uid: &str, resource_version: &str, replicas: ReplicaCount) -> ScaleVersion {
    ScaleVersion(Arc::from(format!("{uid}/{resource_version}/{}", replicas.0)))
}

/// The parts of a version that [`scale_version`] made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VersionParts<'a> {
    pub(crate) uid: &'a str,
    pub(crate) resource_version: &'a str,
    pub(crate) replicas: ReplicaCount,
}

impl<'a> VersionParts<'a> {
    /// `None` for what [`scale_version`] has not made.
    pub(crate) fn of(version: &'a ScaleVersion) -> Option<Self> {
        let mut parts = version.0.split('/');
        let (uid, resource_version, replicas) = (parts.next()?, parts.next()?, parts.next()?);
        let replicas = ReplicaCount(replicas.parse().ok()?);
        (parts.next().is_none()).then_some(Self { uid, resource_version, replicas })
    }
}

#[cfg(test)]
mod tests {
    use units::EndpointKey;

    use super::*;

    #[test]
    fn a_version_says_what_it_was_made_of() {
        let version = scale_version("5f0c", "1234", ReplicaCount(3));
        let parts = VersionParts { uid: "5f0c", resource_version: "1234", replicas: ReplicaCount(3) };
        assert_eq!(VersionParts::of(&version), Some(parts));
        assert_eq!(VersionParts::of(&ScaleVersion("7".into())), None);
    }

    #[test]
    fn each_tag_has_a_service_beside_the_endpoints_own() {
        let mut endpoint = api::ModelEndpoint::new(EndpointKey::new("shop", "recommender"), "v1");
        assert_eq!(services_of(&endpoint), ["recommender"]);
        endpoint.traffic[0].tag = Some("candidate".into());
        assert_eq!(services_of(&endpoint), ["recommender", "candidate-recommender"]);
    }
}
