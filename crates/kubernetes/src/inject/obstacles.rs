//! Which pods get no sidecar, and why: where it could not run, would take somebody's port, or would not know whom to ask.

use k8s_openapi::api::core::v1::{Container, PodSpec, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::all_containers;
use super::container::TOKEN_VOLUME;
use super::wishes::Wishes;
use crate::model::{Declared, declared, port_of_model};
use crate::names::{DIRECT_PORT, PORT, PROXIED_PORT, SIDECAR_ADMIN_PORT};

/// The model in a pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Model<'a> {
    pub(super) container: &'a Container,
    pub(super) port: u16,
    /// Where it takes gRPC, if elsewhere.
    pub(super) grpc_port: Option<u16>,
}

/// The model to which the sidecar is to belong.
///
/// # Errors
/// With everything that stands in the way.
pub(super) fn model_of<'a>(spec: &'a PodSpec, wishes: &Wishes) -> Result<Model<'a>, Vec<String>> {
    let mut obstacles = Vec::new();
    let os = spec.os.as_ref().map(|os| os.name.as_str());
    let node = spec.node_selector.as_ref().and_then(|labels| labels.get("kubernetes.io/os"));
    if [os, node.map(String::as_str)].contains(&Some("windows")) {
        obstacles.push("it is for Windows, where queue-proxy does not run".to_owned());
    }
    if spec.host_network == Some(true) {
        obstacles.push(format!(
            "it has the node's network (hostNetwork), where port {DIRECT_PORT} is not its own; take hostNetwork out"
        ));
    }
    obstacles.extend(taken_ports(spec));
    if spec.volumes.iter().flatten().any(|volume| volume.name == TOKEN_VOLUME) {
        obstacles
            .push(format!("it has a volume {TOKEN_VOLUME}, as queue-proxy's is to be called; give it another name"));
    }
    match find(spec, wishes) {
        Ok(model) if !speaks_tls(&model) => {
            if obstacles.is_empty() {
                return Ok(model);
            }
        }
        Ok(model) => obstacles.push(format!(
            "container {} speaks TLS at its port {}, as its probe says; queue-proxy speaks plain HTTP to the model",
            model.container.name, model.port
        )),
        Err(why) => obstacles.push(why),
    }
    Err(obstacles)
}

fn taken_ports(spec: &PodSpec) -> Vec<String> {
    let ours = [DIRECT_PORT, PROXIED_PORT, SIDECAR_ADMIN_PORT];
    let taken = |container: &Container| -> Vec<String> {
        let ports = container.ports.iter().flatten().map(|port| port.container_port);
        let taken = ports.filter(|port| ours.iter().any(|ours| i32::from(*ours) == *port));
        taken
            .map(|port| format!("container {} listens on {port}, which queue-proxy needs for itself", container.name))
            .collect()
    };
    all_containers(spec).flat_map(taken).collect()
}

fn find<'a>(spec: &'a PodSpec, wishes: &Wishes) -> Result<Model<'a>, String> {
    let all = declared(&spec.containers);
    let chosen = match &wishes.port {
        None => port_of_model(all).ok_or_else(|| {
            format!("no container declares a TCP port; declare the model's, or name it by the annotation {PORT}")
        })?,
        Some(wish) => wished(spec, wish)?,
    };
    let container = spec.containers.iter().find(|container| container.name == chosen.container);
    let container = container.ok_or("it has no containers")?;
    let of_grpc = |it: &Declared<'_>| it.container == chosen.container && matches!(it.name, Some("h2c" | "grpc"));
    let grpc_port = declared(&spec.containers).find(of_grpc).map(|it| it.port).filter(|port| *port != chosen.port);
    Ok(Model { container, port: chosen.port, grpc_port })
}

/// A name has to be declared. A number need not: Kubernetes takes the list of ports for information.
fn wished<'a>(spec: &'a PodSpec, wish: &str) -> Result<Declared<'a>, String> {
    let number = wish.parse::<u16>().ok().filter(|port| 0 < *port);
    let mut all = declared(&spec.containers);
    let found = all.find(|it| it.name == Some(wish) || Some(it.port) == number);
    // That of the container which would be chosen; without any port, of the first.
    let model = || {
        let chosen = port_of_model(declared(&spec.containers)).map(|it| it.container);
        chosen.or_else(|| spec.containers.first().map(|container| container.name.as_str()))
    };
    let undeclared = || Some(Declared { container: model()?, name: None, port: number? });
    found.or_else(undeclared).ok_or_else(|| {
        format!("annotation {PORT}: {wish:?} is neither a port from 1 to 65535 nor the name of one that a container declares")
    })
}

/// Does one of its probes ask for HTTPS at the port that requests would go to?
fn speaks_tls(model: &Model<'_>) -> bool {
    let probes = [&model.container.readiness_probe, &model.container.liveness_probe, &model.container.startup_probe];
    probes.into_iter().flatten().any(|probe| is_https_at(probe, model))
}

fn is_https_at(probe: &Probe, model: &Model<'_>) -> bool {
    probe.http_get.as_ref().is_some_and(|get| {
        get.scheme.as_deref() == Some("HTTPS") && number_of(&get.port, model.container) == Some(model.port)
    })
}

/// The port of a probe: itself, or that of the container with this name.
pub(super) fn number_of(port: &IntOrString, container: &Container) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = |it: &&k8s_openapi::api::core::v1::ContainerPort| it.name.as_ref() == Some(name);
            container.ports.iter().flatten().find(named)?.container_port
        }
    };
    u16::try_from(number).ok().filter(|port| 0 < *port)
}
