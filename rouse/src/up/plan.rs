//! From documents to what the platform is told, and to what a person is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::{Documents, Fault, Knob, ModelEndpoint, PathMode, Protocol};
use kpa::policy::{Cluster, InForce, Sources};
use local::{Described, Workload};
use platform::{
    Endpoint, Layer, OnUnavailable, PathPolicy, QueueLimits, Route, Shadow, Source, Target, Timeouts, UpstreamProtocol,
};
use units::{EndpointKey, ReplicaCount, RevisionKey};

use super::machine::{Machine, at_home};

/// Below this a port in a file is the cluster's, and needs a privilege here.
const FIRST_UNPRIVILEGED: u16 = 1024;

/// What is to be in force.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// For the platform.
    pub(crate) described: Described,
    /// Where all endpoints are reached.
    pub(crate) listen: SocketAddr,
    /// Where the admin port is.
    pub(crate) admin: SocketAddr,
}

/// Makes plans, each from the newest documents. What an endpoint was given once it keeps: its port, and the count of its
/// changes.
#[derive(Debug)]
pub(crate) struct Planner {
    listen: SocketAddr,
    admin: SocketAddr,
    machine: Machine,
    ports: BTreeMap<EndpointKey, SocketAddr>,
    generations: BTreeMap<EndpointKey, (u64, ModelEndpoint)>,
}

impl Planner {
    pub(crate) fn new(listen: SocketAddr, admin: SocketAddr, machine: Machine) -> Self {
        Self { listen, admin, machine, ports: BTreeMap::new(), generations: BTreeMap::new() }
    }

    /// Where the two shared ports are in fact, where any free one was asked for.
    pub(crate) fn bound(&mut self, listen: SocketAddr, admin: SocketAddr) {
        (self.listen, self.admin) = (listen, admin);
    }

    /// Notes what the machine does not have. Must run inside a runtime.
    ///
    /// Before the first plan is in force the two shared ports have to be free too; from then on they are ours. If one
    /// is taken that is noted apart: a file that is checked while it is served has no fault for that.
    pub(crate) fn look(&self, documents: &Documents, first: bool, faults: &mut Vec<Fault>, taken: &mut Vec<Fault>) {
        self.machine.look_for_commands(documents, faults);
        if first {
            for (flag, address) in [("--listen", self.listen), ("--admin", self.admin)] {
                let fault = |why| Fault::of_flag(flag, address.to_string(), why);
                self.machine.look_for_address(address, fault, taken);
            }
        }
        let machine = self.machine.holding(self.ports.values().copied().collect());
        for endpoint in &documents.endpoints {
            let Some(address) = self.asked_for(&endpoint.value) else { continue };
            // At the shared port it is reached anyway, by its name, and by every name if it is alone.
            if address == self.listen {
                continue;
            }
            if address == self.admin {
                faults.push(endpoint.fault("spec.ports[0].port", "a free port; this one is in use as the admin port"));
                continue;
            }
            machine.look_for_address(address, |why| endpoint.fault("spec.ports[0].port", why), faults);
        }
        if first && self.listen == self.admin && self.listen.port() != 0 {
            let why = "another port than --listen";
            faults.push(Fault::of_flag("--admin", self.admin.to_string(), why));
        }
    }

    /// The port that an endpoint names, if it is one that it can have here.
    fn asked_for(&self, endpoint: &ModelEndpoint) -> Option<SocketAddr> {
        let port = endpoint.port.as_ref()?.port;
        (FIRST_UNPRIVILEGED <= port).then(|| SocketAddr::new(self.listen.ip(), port))
    }

    /// What these documents, which have no fault, come to. Must run inside a runtime.
    pub(crate) fn plan(&mut self, documents: &Documents) -> Plan {
        self.give_ports(documents);
        let endpoints: Vec<Endpoint> =
            documents.endpoints.iter().map(|endpoint| self.endpoint(&endpoint.value, documents)).collect();
        let config = documents.config.as_ref().map(|config| config.value.data.clone()).unwrap_or_default();
        let cluster = Cluster::read(&config, None);
        let workloads = documents.endpoints.iter().flat_map(|endpoint| {
            let revisions = endpoint.value.revisions().enumerate();
            let of_one = |(i, key)| workload(documents, &endpoint.value, i, &key, &cluster);
            revisions.filter_map(of_one).collect::<Vec<_>>()
        });
        let described = Described { endpoints, workloads: workloads.collect(), config };
        Plan { described, listen: self.listen, admin: self.admin }
    }

    /// Each endpoint its own: the one that it names, the one that it has, or the next free one after the shared port.
    fn give_ports(&mut self, documents: &Documents) {
        let keys: BTreeSet<&EndpointKey> = documents.endpoints.iter().map(|endpoint| &endpoint.value.key).collect();
        self.ports.retain(|key, _| keys.contains(key));
        let mut taken = BTreeSet::from([self.listen, self.admin]);
        for endpoint in &documents.endpoints {
            let Some(address) = self.asked_for(&endpoint.value) else { continue };
            // On a cluster many endpoints may have the same port; here the first one gets it.
            if taken.insert(address) {
                self.ports.retain(|key, port| *port != address || *key == endpoint.value.key);
                self.ports.insert(endpoint.value.key.clone(), address);
            } else {
                self.ports.remove(&endpoint.value.key);
            }
        }
        taken.extend(self.ports.values().copied());
        for endpoint in &documents.endpoints {
            if self.ports.contains_key(&endpoint.value.key) {
                continue;
            }
            if let Some(address) = self.next_free(&taken) {
                taken.insert(address);
                self.ports.insert(endpoint.value.key.clone(), address);
            }
        }
    }

    fn next_free(&self, taken: &BTreeSet<SocketAddr>) -> Option<SocketAddr> {
        // Whoever asked for any port gets any port. A hundred taken ones in a row are a machine to look at; the endpoint
        // is still reached at the shared port.
        if self.listen.port() == 0 {
            // Nobody listens yet on those that were given out.
            return (0..100)
                .find_map(|_| self.machine.any_port(self.listen).filter(|address| !taken.contains(address)));
        }
        let ports = (self.listen.port()..=u16::MAX).skip(1).take(100);
        let mut addresses = ports.map(|port| SocketAddr::new(self.listen.ip(), port));
        addresses.find(|address| !taken.contains(address) && self.machine.try_address(*address).is_ok())
    }

    fn endpoint(&mut self, spec: &ModelEndpoint, documents: &Documents) -> Endpoint {
        let last = self.generations.get(&spec.key);
        let generation = match last {
            Some((generation, same)) if same == spec => *generation,
            Some((generation, _)) => generation + 1,
            None => 1,
        };
        self.generations.insert(spec.key.clone(), (generation, spec.clone()));
        let of_first = || spec.revisions().find_map(|key| Some(documents.deployment(&key)?.value.container.protocol()));
        let protocol = spec.port.as_ref().and_then(|port| port.protocol).or_else(of_first);
        Endpoint {
            key: spec.key.clone(),
            generation,
            hosts: spec.hosts.iter().map(|host| host.as_str().into()).collect(),
            own_port: self.ports.get(&spec.key).copied(),
            targets: spec
                .traffic
                .iter()
                .zip(spec.revisions())
                .map(|(target, revision)| Target {
                    revision,
                    percent: target.percent,
                    tag: target.tag.as_deref().map(Into::into),
                })
                .collect(),
            matches: spec.matches.as_slice().into(),
            sticky: spec.sticky.clone(),
            shadows: shadows(spec),
            upstream: match protocol {
                Some(Protocol::H2c) => UpstreamProtocol::H2c,
                Some(Protocol::Http1) | None => UpstreamProtocol::Http1,
            },
            path: match spec.path {
                PathMode::Auto => PathPolicy::Auto,
                PathMode::Proxied => PathPolicy::Proxied,
            },
            // The platform's to say; it knows the activators.
            route: Route::Proxied { through: Arc::from([]) },
            container_concurrency: spec.container_concurrency,
            timeouts: Timeouts {
                request: spec.timeouts.request,
                response_start: spec.timeouts.response_start,
                idle: spec.timeouts.idle,
            },
            queue: QueueLimits {
                max_requests: spec.queue.max_requests,
                max_bytes: spec.queue.max_bytes,
                max_wait: spec.queue.max_wait,
            },
            on_unavailable: match spec.on_unavailable {
                api::OnUnavailable::Fail => OnUnavailable::Fail,
                api::OnUnavailable::Fallback => OnUnavailable::Fallback,
            },
            answer_headers: spec.answer_headers,
        }
    }
}

fn shadows(spec: &ModelEndpoint) -> Arc<[Shadow]> {
    let of = |shadow: &api::Shadow| Shadow {
        revision: RevisionKey::new(Arc::clone(&spec.key.namespace), shadow.target.revision.as_str()),
        percent: shadow.percent,
        wake: shadow.wake,
        compare: shadow.compare.clone(),
    };
    spec.shadows.iter().map(of).collect()
}

fn workload(
    documents: &Documents,
    endpoint: &ModelEndpoint,
    target: usize,
    key: &RevisionKey,
    cluster: &Cluster,
) -> Option<Workload> {
    let placed = documents.deployment(key)?;
    let deployment = &placed.value;
    let layers = vec![
        Layer { source: Source::Deployment, values: deployment.annotations.clone() },
        Layer { source: Source::PodTemplate, values: deployment.template_annotations.clone() },
        Layer { source: Source::Traffic, values: endpoint.targets().nth(target)?.autoscaling.annotations() },
        Layer { source: Source::Endpoint, values: endpoint.autoscaling.annotations() },
    ];
    Some(Workload {
        key: key.clone(),
        container: at_home(placed, &deployment.container),
        initial_scale: initial_scale(&layers, endpoint, cluster),
        layers,
        progress_deadline: deployment.progress_deadline,
        termination_grace: deployment.termination_grace,
    })
}

/// Knative starts with one replica where nothing is said; on one machine nothing runs that nobody has asked for.
fn initial_scale(layers: &[Layer], endpoint: &ModelEndpoint, cluster: &Cluster) -> ReplicaCount {
    let values: Vec<_> = layers.iter().map(|layer| (layer.source, &layer.values)).collect();
    let in_force = InForce::read(
        &Sources {
            layers: &values,
            cluster,
            config_map: Source::ConfigMap,
            built_in: Source::BuiltIn,
            container_concurrency: (endpoint.container_concurrency, Source::Endpoint),
            reachable: true,
        },
        None,
    );
    let said = in_force.settings.get(Knob::InitialReplicas.field());
    match said.map(|setting| setting.source) {
        None | Some(Source::BuiltIn) => ReplicaCount::ZERO,
        Some(_) => in_force.policy.initial,
    }
}

impl Plan {
    /// What is served, for a person.
    pub(crate) fn describe(&self) -> String {
        let mut out = String::new();
        let endpoints = &self.described.endpoints;
        let alone = endpoints.len() == 1;
        for endpoint in endpoints {
            let own = endpoint.own_port.map(url);
            let shared = url(self.listen);
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{}  {}", endpoint.key.name, own.as_deref().unwrap_or(&shared));
            let EndpointKey { namespace, name } = &endpoint.key;
            let mut hosts = vec![format!("{name}.{namespace}"), format!("{name}.localhost")];
            hosts.extend(endpoint.hosts.iter().map(ToString::to_string));
            let every = if alone { "any Host, such as " } else { "Host " };
            let _ = writeln!(out, "  also at {shared} with {every}{}", hosts.join(" or "));
            for target in &endpoint.targets {
                let command = self.command_of(&target.revision);
                let tag = target.tag.as_ref().map_or_else(String::new, |tag| format!(" (tag {tag})"));
                let _ = writeln!(out, "  {:>3}% {}{tag}: {command}", target.percent.get(), target.revision.name);
            }
            for shadow in &*endpoint.shadows {
                let command = self.command_of(&shadow.revision);
                let (percent, name) = (shadow.percent.get(), &shadow.revision.name);
                let _ = writeln!(out, "  copies of {percent}% to {name}: {command}");
            }
        }
        let _ = writeln!(out, "admin  {}", url(self.admin));
        out
    }
}

impl Plan {
    fn command_of(&self, revision: &RevisionKey) -> String {
        let workload = self.described.workloads.iter().find(|workload| workload.key == *revision);
        workload.map_or_else(String::new, |workload| command_line(&workload.container))
    }
}

fn command_line(container: &api::Container) -> String {
    let words = container.command.iter().chain(&container.args).map(|word| {
        let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,@%+$()".contains(c));
        if word == local::THIS_PROGRAM {
            "rouse".to_owned()
        } else if plain {
            word.clone()
        } else {
            format!("{word:?}")
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// How a client on this machine reaches an address.
pub(crate) fn url(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_unspecified() => format!("http://localhost:{}", address.port()),
        IpAddr::V4(_) | IpAddr::V6(_) => format!("http://{address}"),
    }
}

#[cfg(test)]
mod tests;
