//! What an endpoint's Services and our slices look like. Pure.
//!
//! A Service is made without a selector, and from then on its selector is `route`'s alone. Its port always goes to the
//! sidecar's port: that counts only while there is a selector, so the path can change without the port.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::{API_VERSION, Protocol};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use units::EndpointKey;

use crate::names::{DIRECT_PORT, ENDPOINT, MANAGED_BY, SERVICE_NAME};
use crate::site::MANAGER;

/// Kubernetes mirrors an Endpoints object into slices unless this is on it. Its own controller copies the labels of a
/// Service to them, so none that it leaves behind comes back.
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";

/// A family of addresses. A slice has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// In a slice's `addressType`, and in a Service's `ipFamilies`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The name of the slice of this family behind a Service.
    pub(crate) fn slice(self, service: &str) -> String {
        match self {
            Self::V4 => format!("{service}-rouse-v4"),
            Self::V6 => format!("{service}-rouse-v6"),
        }
    }

    pub(crate) fn has(self, address: &IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// A Service of an endpoint as it is made: named `name` (see `names::services_of`), owned by the endpoint whose UID is
/// `uid`, behind which nothing stands yet.
pub(crate) fn service_of(endpoint: &api::ModelEndpoint, uid: &str, name: &str) -> Service {
    Service {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(endpoint.key.namespace.to_string()),
            labels: Some(service_labels(&endpoint.key.name)),
            owner_references: Some(vec![owner_of(&endpoint.key, uid)]),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            ip_family_policy: Some("PreferDualStack".to_owned()),
            ports: Some(service_ports(endpoint)),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The labels of an endpoint's Services. Further ones may stand beside them.
pub(crate) fn service_labels(endpoint: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned()),
        (ENDPOINT.to_owned(), endpoint.to_owned()),
        (SKIP_MIRROR.to_owned(), "true".to_owned()),
    ])
}

/// The ports of an endpoint's Services: as its `spec` says, else `http` on 80.
pub(crate) fn service_ports(endpoint: &api::ModelEndpoint) -> Vec<ServicePort> {
    let port = endpoint.port.as_ref();
    let app_protocol = port.and_then(|port| port.protocol).map(|protocol| match protocol {
        Protocol::Http1 => "http",
        Protocol::H2c => "kubernetes.io/h2c",
    });
    vec![ServicePort {
        name: Some(port.map_or("http", |port| &port.name).to_owned()),
        port: port.map_or(80, |port| port.port).into(),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::Int(DIRECT_PORT.into())),
        app_protocol: app_protocol.map(str::to_owned),
        node_port: None,
    }]
}

/// Does the endpoint of this UID own it?
pub(crate) fn is_owned_by(object: &ObjectMeta, uid: &str) -> bool {
    let owners = object.owner_references.iter().flatten();
    owners.filter(|owner| owner.controller == Some(true)).any(|owner| owner.uid == uid)
}

/// Our slice of one family behind a Service: activators at the endpoint's own port on them. Owned by the Service, so that
/// it goes with it.
///
/// Names and protocols of ports are the Service's as it is, since routers match them; what it leaves out is as the API server
/// fills it in, so that what is written is what is read again.
pub(crate) fn slice_of(service: &Service, family: Family, addresses: &[IpAddr], own_port: u16) -> EndpointSlice {
    let name = service.metadata.name.clone().unwrap_or_default();
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let mut addresses: Vec<String> =
        addresses.iter().filter(|address| family.has(address)).map(IpAddr::to_string).collect();
    addresses.sort();
    addresses.dedup();
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(family.slice(&name)),
            namespace: service.metadata.namespace.clone(),
            labels: Some(BTreeMap::from([
                (SERVICE_NAME.to_owned(), name.clone()),
                (MANAGED_BY.to_owned(), MANAGER.to_owned()),
            ])),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Service".to_owned(),
                name,
                uid: service.metadata.uid.clone().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        address_type: family.word().to_owned(),
        endpoints: addresses
            .into_iter()
            .map(|address| Endpoint {
                addresses: vec![address],
                conditions: Some(EndpointConditions {
                    ready: Some(true),
                    serving: Some(true),
                    terminating: Some(false),
                }),
                ..Endpoint::default()
            })
            .collect(),
        ports: Some(
            ports
                .map(|port| EndpointPort {
                    name: Some(port.name.clone().unwrap_or_default()),
                    port: Some(own_port.into()),
                    protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
                    app_protocol: port.app_protocol.clone(),
                })
                .collect(),
        ),
    }
}

/// The same behind a Service of KServe's, for an endpoint: owned by that, so that it goes with the endpoint and not with the
/// Service, which KServe makes anew now and then.
pub(crate) fn beside(slice: EndpointSlice, endpoint: &EndpointKey, uid: &str) -> EndpointSlice {
    let mut labels = slice.metadata.labels.unwrap_or_default();
    labels.insert(ENDPOINT.to_owned(), endpoint.name.to_string());
    let owner = owner_of(endpoint, uid);
    let metadata = ObjectMeta { labels: Some(labels), owner_references: Some(vec![owner]), ..slice.metadata };
    EndpointSlice { metadata, ..slice }
}

fn owner_of(endpoint: &EndpointKey, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: "ModelEndpoint".to_owned(),
        name: endpoint.name.to_string(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// Is a slice as it should be, in all that routers read?
pub(crate) fn is_like(is: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    let named = |slice: &EndpointSlice| -> Vec<(Vec<String>, Option<bool>)> {
        let ready = |endpoint: &Endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
        slice.endpoints.iter().map(|endpoint| (endpoint.addresses.clone(), ready(endpoint))).collect()
    };
    let labels = |slice: &EndpointSlice| {
        let labels = slice.metadata.labels.clone().unwrap_or_default();
        [SERVICE_NAME, MANAGED_BY, ENDPOINT].map(|label| labels.get(label).cloned())
    };
    named(is) == named(wanted)
        && is.ports == wanted.ports
        && labels(is) == labels(wanted)
        && is.metadata.owner_references == wanted.metadata.owner_references
}

/// Whose slice it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// Ours.
    Rouse,
    /// One of Kubernetes' own controllers.
    Kubernetes,
    /// Somebody's who has it there for reasons of their own.
    Another,
}

impl Keeper {
    pub(crate) fn of(slice: &EndpointSlice) -> Self {
        let manager = slice.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
        match manager.map(String::as_str) {
            Some(MANAGER) => Self::Rouse,
            Some("endpointslice-controller.k8s.io" | "endpointslicemirroring-controller.k8s.io") => Self::Kubernetes,
            Some(_) | None => Self::Another,
        }
    }
}

/// The families of a Service's addresses: what it was given, and IPv4 as long as it was given none.
pub(crate) fn families_of(service: &Service) -> Vec<Family> {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.clone()).unwrap_or_default();
    if families.is_empty() {
        return vec![Family::V4];
    }
    Family::ALL.into_iter().filter(|family| families.iter().any(|word| word == family.word())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Service {
        let endpoint = api::ModelEndpoint::new(EndpointKey::new("shop", "recommender"), "v1");
        let mut service = service_of(&endpoint, "uid-of-endpoint", "recommender");
        service.metadata.uid = Some("uid-of-service".into());
        service
    }

    #[test]
    fn a_service_is_made_with_nothing_behind_it_and_belongs_to_its_endpoint() {
        let service = made();
        let spec = service.spec.as_ref().unwrap();
        assert_eq!(spec.selector, None);
        let ports = spec.ports.as_ref().unwrap();
        assert_eq!((ports[0].name.as_deref(), ports[0].port), (Some("http"), 80));
        assert!(is_owned_by(&service.metadata, "uid-of-endpoint"));
        assert!(!is_owned_by(&service.metadata, "uid-of-another"));
    }

    #[test]
    fn an_owner_that_does_not_control_is_no_owner() {
        let mut service = made();
        service.metadata.owner_references.as_mut().unwrap()[0].controller = None;
        assert!(!is_owned_by(&service.metadata, "uid-of-endpoint"));
    }

    #[test]
    fn a_port_is_as_the_endpoint_says() {
        let mut endpoint = api::ModelEndpoint::new(EndpointKey::new("shop", "recommender"), "v1");
        endpoint.port = Some(api::EndpointPort {
            name: "grpc".into(),
            port: 8081,
            container_port: Some(9000),
            protocol: Some(Protocol::H2c),
        });
        let port = service_ports(&endpoint).remove(0);
        assert_eq!((port.name.as_deref(), port.port), (Some("grpc"), 8081));
        assert_eq!(port.app_protocol.as_deref(), Some("kubernetes.io/h2c"));
        assert_eq!(port.target_port, Some(IntOrString::Int(8012)));
    }

    #[test]
    fn a_slice_names_each_address_of_its_family_once_and_goes_with_its_service() {
        let addresses: Vec<IpAddr> =
            ["10.0.0.9", "fd00::9", "10.0.0.8", "10.0.0.9"].map(|address| address.parse().unwrap()).into();
        let slice = slice_of(&made(), Family::V4, &addresses, 20_017);
        let named: Vec<&str> = slice.endpoints.iter().map(|endpoint| endpoint.addresses[0].as_str()).collect();
        assert_eq!(named, ["10.0.0.8", "10.0.0.9"]);
        assert_eq!(slice.metadata.name.as_deref(), Some("recommender-rouse-v4"));
        assert_eq!(slice.metadata.labels.as_ref().unwrap()[SERVICE_NAME], "recommender");
        assert!(is_owned_by(&slice.metadata, "uid-of-service"));
        let ports = slice.ports.unwrap();
        assert_eq!((ports[0].name.as_deref(), ports[0].port), (Some("http"), Some(20_017)));
    }

    #[test]
    fn what_a_services_port_leaves_out_is_as_the_api_server_fills_it_in() {
        let mut service = made();
        service.spec.as_mut().unwrap().ports = Some(vec![ServicePort { port: 80, ..ServicePort::default() }]);
        let slice = slice_of(&service, Family::V4, &["10.0.0.9".parse().unwrap()], 20_017);
        let ports = slice.ports.unwrap();
        assert_eq!((ports[0].name.as_deref(), ports[0].protocol.as_deref()), (Some(""), Some("TCP")));
    }
}
