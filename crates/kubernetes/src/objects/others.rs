//! Endpoints, Services, slices, scalers and the ConfigMap: what of their JSON is kept.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use units::EndpointKey;

use super::envelope::{Kept, Meta, or_default, port};
use super::labels::predicts_for;
use super::{Autoscaled, ConfigMap, EndpointObject, PortSeen, Service, Slice};
use crate::names::{ENDPOINT, SERVICE_NAME};
use crate::world::{Key, Kind, Seen};

impl Kept for EndpointObject {
    /// All of it, since its reader tells every fault with its place.
    type Wire = Value;
    type Key = EndpointKey;

    const GROUP: &'static str = "rouse.dev";
    const VERSION: &'static str = "v1alpha1";
    const KIND: &'static str = "ModelEndpoint";
    const PLURAL: &'static str = "modelendpoints";
    const WHAT: Kind = Kind::Endpoints;

    fn keep(mut wire: Value) -> (Meta, Self) {
        // Items of a list come without them: they are the list's.
        if let Value::Object(object) = &mut wire {
            object.entry("apiVersion").or_insert_with(|| api::API_VERSION.into());
            object.entry("kind").or_insert_with(|| Self::KIND.into());
        }
        let part = |name: &str| wire.get(name).unwrap_or(&Value::Null);
        let metadata = Meta::deserialize(part("metadata")).unwrap_or_default();
        let ours = |key: &str| key.split('/').next().is_some_and(|domain| domain.ends_with("rouse.dev"));
        let annotations = metadata.annotations.iter().filter(|(key, _)| ours(key));
        let endpoint = Self {
            uid: Arc::clone(&metadata.uid),
            generation: metadata.generation,
            created: metadata.created().moment,
            spec: api::ModelEndpoint::from_object(&wire).map(Arc::new).map_err(Arc::new),
            status: Arc::new(api::status::Status::deserialize(part("status")).unwrap_or_default()),
            annotations: annotations.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect(),
            leaving: metadata.is_leaving(),
        };
        (metadata, endpoint)
    }

    fn key(namespace: &Arc<str>, name: &Arc<str>) -> EndpointKey {
        EndpointKey::new(Arc::clone(namespace), Arc::clone(name))
    }

    fn namespace_of(key: &EndpointKey) -> Option<&Arc<str>> {
        Some(&key.namespace)
    }

    fn slots(seen: &mut Seen) -> &mut BTreeMap<EndpointKey, Arc<Self>> {
        &mut seen.endpoints
    }
}

/// A Service in JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct ServiceWire {
    #[serde(default, deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    spec: ServiceSpec,
}

#[derive(Debug, Default, Deserialize)]
struct ServiceSpec {
    #[serde(default, deserialize_with = "or_default")]
    selector: BTreeMap<Arc<str>, Arc<str>>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    ports: Vec<PortWire>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PortWire {
    name: Option<Box<str>>,
    #[serde(default, deserialize_with = "or_default")]
    port: i32,
    app_protocol: Option<Box<str>>,
}

impl Kept for Service {
    type Wire = ServiceWire;
    type Key = Key;

    const GROUP: &'static str = "";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "Service";
    const PLURAL: &'static str = "services";
    const WHAT: Kind = Kind::Services;

    fn keep(wire: ServiceWire) -> (Meta, Self) {
        let ServiceWire { metadata, spec } = wire;
        let owner = metadata.owned_by("ModelEndpoint", "rouse.dev/");
        let ports = spec.ports.into_iter().filter(|_| owner.is_some());
        let service = Self {
            uid: Arc::clone(&metadata.uid),
            selector: spec.selector,
            predicts_for: predicts_for(&metadata.labels),
            ports: ports.map(|PortWire { name, port, app_protocol }| PortSeen { name, port, app_protocol }).collect(),
            owner,
            // Without one there is "None" in its place.
            cluster_ip: spec.cluster_ip.and_then(|address| address.parse().ok()),
        };
        (metadata, service)
    }

    fn key(namespace: &Arc<str>, name: &Arc<str>) -> Key {
        (Arc::clone(namespace), Arc::clone(name))
    }

    fn namespace_of(key: &Key) -> Option<&Arc<str>> {
        Some(&key.0)
    }

    fn slots(seen: &mut Seen) -> &mut BTreeMap<Key, Arc<Self>> {
        &mut seen.services
    }
}

/// An EndpointSlice in JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct SliceWire {
    #[serde(default, deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    endpoints: Vec<SliceEndpoint>,
    #[serde(default, deserialize_with = "or_default")]
    ports: Vec<SlicePort>,
}

#[derive(Debug, Deserialize)]
struct SliceEndpoint {
    #[serde(default, deserialize_with = "or_default")]
    addresses: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct SlicePort {
    port: Option<i64>,
}

impl Kept for Slice {
    type Wire = SliceWire;
    type Key = Key;

    const GROUP: &'static str = "discovery.k8s.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "EndpointSlice";
    const PLURAL: &'static str = "endpointslices";
    const WHAT: Kind = Kind::Slices;

    fn keep(wire: SliceWire) -> (Meta, Self) {
        let SliceWire { metadata, endpoints, ports } = wire;
        let addresses = endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        let slice = Self {
            service: metadata.labels.get(SERVICE_NAME).map_or_else(Arc::default, |name| name.as_str().into()),
            addresses: addresses.filter_map(|text| text.parse::<IpAddr>().ok()).collect(),
            port: ports.first().and_then(|first| port(first.port)),
            beside_for: metadata.labels.get(ENDPOINT).map(|name| name.as_str().into()),
        };
        (metadata, slice)
    }

    fn key(namespace: &Arc<str>, name: &Arc<str>) -> Key {
        (Arc::clone(namespace), Arc::clone(name))
    }

    fn namespace_of(key: &Key) -> Option<&Arc<str>> {
        Some(&key.0)
    }

    fn slots(seen: &mut Seen) -> &mut BTreeMap<Key, Arc<Self>> {
        &mut seen.slices
    }
}

/// A HorizontalPodAutoscaler in JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct ScalerWire {
    #[serde(default, deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    spec: ScalerSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScalerSpec {
    #[serde(default, deserialize_with = "or_default")]
    scale_target_ref: Target,
}

#[derive(Debug, Default, Deserialize)]
struct Target {
    #[serde(default, deserialize_with = "or_default")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    name: Arc<str>,
}

impl Kept for Autoscaled {
    type Wire = ScalerWire;
    type Key = Key;

    const GROUP: &'static str = "autoscaling";
    const VERSION: &'static str = "v2";
    const KIND: &'static str = "HorizontalPodAutoscaler";
    const PLURAL: &'static str = "horizontalpodautoscalers";
    const WHAT: Kind = Kind::Autoscaled;

    fn keep(wire: ScalerWire) -> (Meta, Self) {
        let ScalerWire { metadata, spec: ScalerSpec { scale_target_ref: target } } = wire;
        let scaler = Self {
            by: format!("{} {}", Self::KIND, metadata.name).into(),
            // No Deployment is called so, so one that scales something else scales none.
            deployment: if target.kind == "Deployment" { target.name } else { Arc::default() },
        };
        (metadata, scaler)
    }

    fn key(namespace: &Arc<str>, name: &Arc<str>) -> Key {
        (Arc::clone(namespace), Arc::clone(name))
    }

    fn namespace_of(key: &Key) -> Option<&Arc<str>> {
        Some(&key.0)
    }

    fn slots(seen: &mut Seen) -> &mut BTreeMap<Key, Arc<Self>> {
        &mut seen.autoscaled
    }
}

/// A ConfigMap in JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct ConfigWire {
    #[serde(default, deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    data: BTreeMap<String, String>,
}

impl Kept for ConfigMap {
    type Wire = ConfigWire;
    type Key = Arc<str>;

    const GROUP: &'static str = "";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "ConfigMap";
    const PLURAL: &'static str = "configmaps";
    const WHAT: Kind = Kind::Config;

    fn keep(wire: ConfigWire) -> (Meta, Self) {
        (wire.metadata, Self(wire.data))
    }

    fn key(_: &Arc<str>, name: &Arc<str>) -> Arc<str> {
        Arc::clone(name)
    }

    fn namespace_of(_: &Arc<str>) -> Option<&Arc<str>> {
        None
    }

    fn slots(seen: &mut Seen) -> &mut BTreeMap<Arc<str>, Arc<Self>> {
        &mut seen.configs
    }
}

#[cfg(test)]
mod tests;
