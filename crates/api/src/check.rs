//! What can be wrong between documents, each of which is right by itself; and how far knobs may go, which `kpa` knows.

use std::collections::BTreeMap;

use kpa::policy::{Cluster, InForce, Sources};
use units::{EndpointKey, RevisionKey};

use crate::deployment::{Check, Deployment, PortRef, Probe};
use crate::documents::{Documents, Placed, shown};
use crate::endpoint::{Knob, ModelEndpoint};
use crate::fault::Fault;
use crate::read::{join, nearest};

/// Notes everything that is wrong, or probably not meant, in documents that have been read. `all_there`: no document
/// was left out; else nobody can be blamed for naming what may stand there.
pub(crate) fn check(documents: &Documents, all_there: bool, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) {
    names_once(&documents.endpoints, "ModelEndpoint", |endpoint| endpoint.key.to_string(), faults);
    names_once(&documents.deployments, "Deployment", |workload| workload.key.to_string(), faults);
    revisions_belong_to_one(documents, faults);
    if all_there {
        revisions_exist(documents, faults);
    }
    hosts_belong_to_one(&documents.endpoints, faults);
    for deployment in &documents.deployments {
        let endpoint = documents.endpoint_of(&deployment.value.key);
        probes_stay_at_home(deployment, endpoint, faults);
        // Where an endpoint could not be read nobody knows whom it names.
        if endpoint.is_none() && faults.is_empty() {
            warnings.push(deployment.fault("metadata.name", "no ModelEndpoint names it, so it is not started"));
        }
    }
    replicas_speak_alike(documents, faults);
    knobs_within_bounds(documents, faults, warnings);
}

fn names_once<T>(all: &[Placed<T>], kind: &str, key: impl Fn(&T) -> String, faults: &mut Vec<Fault>) {
    let mut first: BTreeMap<String, &Placed<T>> = BTreeMap::new();
    for placed in all {
        let key = key(&placed.value);
        match first.get(&key).and_then(|earlier| earlier.place("metadata.name")) {
            Some(place) => {
                let why = format!("each {kind} once in its namespace; this name is taken in {place}");
                faults.push(placed.fault("metadata.name", why));
            }
            None => drop(first.insert(key, placed)),
        }
    }
}

fn revisions_exist(documents: &Documents, faults: &mut Vec<Fault>) {
    for endpoint in &documents.endpoints {
        for (i, key) in endpoint.value.revisions().enumerate().filter(|(_, key)| !key.name.is_empty()) {
            if endpoint.value.targets().nth(i).is_some_and(|target| target.inference_service.is_some()) {
                let why =
                    "InferenceServices are KServe's, on a cluster; on one machine `revision`, the name of a Deployment";
                faults.push(endpoint.fault(&format!("{}.inferenceService", endpoint.value.path_of(i)), why));
            } else if documents.deployment(&key).is_none() {
                let path = format!("{}.revision", endpoint.value.path_of(i));
                faults.push(endpoint.fault(&path, missing_revision(documents, &key)));
            }
        }
    }
}

fn revisions_belong_to_one(documents: &Documents, faults: &mut Vec<Fault>) {
    let mut owners: BTreeMap<RevisionKey, &EndpointKey> = BTreeMap::new();
    for endpoint in &documents.endpoints {
        let named = |i: usize| endpoint.value.targets().nth(i).is_some_and(|target| !target.is_unknown());
        for (i, key) in endpoint.value.revisions().enumerate().filter(|(i, key)| !key.name.is_empty() && named(*i)) {
            let path = format!("{}.revision", endpoint.value.path_of(i));
            match owners.get(&key) {
                Some(owner) if **owner != endpoint.value.key => {
                    let why = format!("a Deployment that no other endpoint names; {} has this one", shown(owner));
                    faults.push(endpoint.fault(&path, why));
                }
                Some(_) => {}
                None => drop(owners.insert(key, &endpoint.value.key)),
            }
        }
    }
}

fn missing_revision(documents: &Documents, key: &RevisionKey) -> String {
    let names = || {
        let here = documents.deployments.iter().filter(|workload| workload.value.key.namespace == key.namespace);
        here.map(|workload| &*workload.value.key.name)
    };
    let known = match (nearest(&key.name, names()), names().next()) {
        (Some(near), _) => format!("; the nearest one is {near}"),
        (None, Some(_)) => format!("; there are {}", names().take(8).collect::<Vec<_>>().join(", ")),
        (None, None) => "; there is none".to_owned(),
    };
    format!("the name of a Deployment in namespace {}{known}", key.namespace)
}

fn hosts_belong_to_one(endpoints: &[Placed<ModelEndpoint>], faults: &mut Vec<Fault>) {
    let mut owners: BTreeMap<String, &EndpointKey> = BTreeMap::new();
    for endpoint in endpoints {
        let EndpointKey { namespace, name } = &endpoint.value.key;
        for own in [format!("{name}.{namespace}"), format!("{name}.{namespace}.svc"), format!("{name}.localhost")] {
            owners.entry(own).or_insert(&endpoint.value.key);
        }
    }
    for endpoint in endpoints {
        for (i, host) in endpoint.value.hosts.iter().enumerate() {
            let owner = owners.entry(host.clone()).or_insert(&endpoint.value.key);
            if **owner != endpoint.value.key {
                let why = format!("a host that no other endpoint has; this one is {}'s", shown(owner));
                faults.push(endpoint.fault(&format!("spec.hosts[{i}]"), why));
            }
        }
    }
}

/// A replica has one port, in place of the container's own; a probe of another one would find nobody there.
fn probes_stay_at_home(
    deployment: &Placed<Deployment>,
    endpoint: Option<&Placed<ModelEndpoint>>,
    faults: &mut Vec<Fault>,
) {
    let container = &deployment.value.container;
    let own = container.own_port(endpoint.and_then(|endpoint| endpoint.value.port.as_ref()));
    let probes: [(&str, &Option<Probe>); 3] = [
        ("readinessProbe", &container.readiness),
        ("livenessProbe", &container.liveness),
        ("startupProbe", &container.startup),
    ];
    for (name, probe) in probes {
        let Some(probe) = probe else { continue };
        let (kind, port) = match &probe.check {
            Check::HttpGet { port, .. } => ("httpGet", port.clone()),
            Check::TcpSocket { port } => ("tcpSocket", port.clone()),
            Check::Grpc { port, .. } => ("grpc", PortRef::Number(*port)),
            Check::Exec { .. } => continue,
        };
        if container.port_number(&port) == Some(own) {
            continue;
        }
        let named = container.ports.iter().find(|port| port.port == own).and_then(|port| port.name.as_deref());
        let or_name = named.map_or_else(String::new, |name| format!(" or {name}"));
        let path = format!("spec.template.spec.containers[0].{name}.{kind}.port");
        let why = format!("{own}{or_name}: the container's own port is the only one that a replica has here");
        faults.push(deployment.fault(&path, why));
    }
}

/// An endpoint speaks to all its replicas in one way.
fn replicas_speak_alike(documents: &Documents, faults: &mut Vec<Fault>) {
    for endpoint in &documents.endpoints {
        if endpoint.value.port.as_ref().is_some_and(|port| port.protocol.is_some()) {
            continue;
        }
        let protocols = endpoint.value.revisions().enumerate().filter_map(|(i, key)| {
            let protocol = documents.deployment(&key)?.value.container.protocol();
            Some((i, protocol))
        });
        let protocols: Vec<_> = protocols.collect();
        for (i, _) in protocols.iter().filter(|(_, protocol)| *protocol != protocols[0].1) {
            let why =
                "a Deployment whose port is named like the first one's (h2c or http1), or `spec.ports[0].protocol`";
            faults.push(endpoint.fault(&format!("{}.revision", endpoint.value.path_of(*i)), why));
        }
    }
}

/// Where a knob's value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Deployment,
    PodTemplate,
    Traffic,
    Endpoint,
    ConfigMap,
    BuiltIn,
}

fn knobs_within_bounds(documents: &Documents, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) {
    let nothing = BTreeMap::new();
    let data = documents.config.as_ref().map_or(&nothing, |config| &config.value.data);
    let cluster = Cluster::read(data, None);
    if let Some(config) = &documents.config {
        for refusal in &cluster.refusals {
            faults.push(config.fault(&join("data", refusal.key), refusal.allowed.clone()));
        }
        for warning in &cluster.warnings {
            warnings.push(config.fault(&join("data", &warning.key), unknown_key(warning.nearest)));
        }
    }
    for endpoint in &documents.endpoints {
        for (i, key) in endpoint.value.revisions().enumerate() {
            if let Some(deployment) = documents.deployment(&key) {
                knobs_of_one(endpoint, i, deployment, &cluster, faults, warnings);
            } else {
                let alone = Placed::made(Deployment::new(key, Vec::new()));
                knobs_of_one(endpoint, i, &alone, &cluster, faults, warnings);
            }
        }
    }
}

fn knobs_of_one(
    endpoint: &Placed<ModelEndpoint>,
    target: usize,
    deployment: &Placed<Deployment>,
    cluster: &Cluster,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<Fault>,
) {
    let own = endpoint.value.targets().nth(target).map(|target| target.autoscaling.annotations());
    let traffic = own.unwrap_or_default();
    let general = endpoint.value.autoscaling.annotations();
    let layers = [
        (Layer::Deployment, &deployment.value.annotations),
        (Layer::PodTemplate, &deployment.value.template_annotations),
        (Layer::Traffic, &traffic),
        (Layer::Endpoint, &general),
    ];
    let in_force = InForce::read(
        &Sources {
            layers: &layers,
            cluster,
            config_map: Layer::ConfigMap,
            built_in: Layer::BuiltIn,
            container_concurrency: (endpoint.value.container_concurrency, Layer::Endpoint),
            reachable: true,
        },
        None,
    );
    let fault = |layer, key: &str, why: String| match layer {
        Layer::Deployment => Some(deployment.fault(&join("metadata.annotations", key), why)),
        Layer::PodTemplate => Some(deployment.fault(&join("spec.template.metadata.annotations", key), why)),
        Layer::Traffic => Some(endpoint.fault(&format!("spec.traffic[{target}].autoscaling.{}", field_of(key)), why)),
        Layer::Endpoint => Some(endpoint.fault(&format!("spec.autoscaling.{}", field_of(key)), in_fields(why))),
        // Told already, once for all revisions.
        Layer::ConfigMap | Layer::BuiltIn => None,
    };
    for refusal in in_force.refusals {
        // What stands in `spec.autoscaling` is found anew with every revision.
        if let Some(fault) = fault(refusal.layer, refusal.key, refusal.allowed).filter(|fault| !faults.contains(fault))
        {
            faults.push(fault);
        }
    }
    for warning in in_force.warnings {
        if let Some(fault) = fault(warning.layer, &warning.key, unknown_key(warning.nearest)) {
            warnings.push(fault);
        }
    }
}

fn unknown_key(nearest: &str) -> String {
    format!("not a setting, so it changes nothing; the nearest one is {nearest}")
}

/// The same in the words of `autoscaling`, for who has never written an annotation.
fn in_fields(why: String) -> String {
    let mut knobs = Knob::ALL.to_vec();
    // `target` is the beginning of `target-burst-capacity`.
    knobs.sort_by_key(|knob| std::cmp::Reverse(knob.annotation().len()));
    knobs.iter().fold(why, |why, knob| why.replace(&knob.annotation(), knob.field()))
}

/// The field of `autoscaling` that an annotation stands for.
fn field_of(annotation: &str) -> &str {
    Knob::ALL.iter().find(|knob| knob.annotation() == annotation).map_or(annotation, |knob| knob.field())
}
