//! Whose business the model's readiness is: the sidecar's, which asks on loopback every few milliseconds while it starts, or
//! still the kubelet's.
//!
//! A sidecar that does not understand its probe does not start, and then nothing of the pod does. So a probe moves only if
//! all of it is sure to be understood (`queue-proxy`'s `READINESS_PROBE`).

use http::{HeaderName, HeaderValue, Uri};
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::obstacles::number_of;

/// Who asks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    /// There is no probe; the sidecar asks whether the model accepts connections.
    Nobody,
    /// The sidecar asks this, as `READINESS_PROBE` has it.
    BySidecar(Value),
    /// The kubelet asks as before, because of this.
    ByKubelet(&'static str),
}

/// Of the container that takes requests at `port`.
pub(super) fn of(container: &Container, port: u16) -> Asked {
    let Some(probe) = &container.readiness_probe else { return Asked::Nobody };
    match moved(probe, container, port) {
        Ok(probe) => serde_json::to_value(probe).map_or(Asked::ByKubelet("it cannot be written"), Asked::BySidecar),
        Err(why) => Asked::ByKubelet(why),
    }
}

fn moved(probe: &Probe, container: &Container, port: u16) -> Result<Probe, &'static str> {
    // The sidecar knows no names of ports.
    let numbered = |port: &IntOrString| number_of(port, container).map(|port| IntOrString::Int(i32::from(port)));
    let mut probe = probe.clone();
    probe.initial_delay_seconds = None;
    probe.termination_grace_period_seconds = None;
    match (&mut probe.http_get, &mut probe.tcp_socket, &mut probe.grpc, &probe.exec) {
        (Some(get), None, None, None) => {
            check(get)?;
            get.host = None;
            get.port = numbered(&get.port).ok_or("its port has a name that the container does not declare")?;
        }
        (None, Some(tcp), None, None) => {
            if tcp.host.as_deref().is_some_and(|host| !is_loopback(host)) {
                return Err("it asks another host");
            }
            tcp.host = None;
            tcp.port = numbered(&tcp.port).ok_or("its port has a name that the container does not declare")?;
        }
        (None, None, Some(grpc), None) => {
            if !(1..=i32::from(u16::MAX)).contains(&grpc.port) {
                grpc.port = i32::from(port);
            }
        }
        (None, None, None, Some(_)) => return Err("it is a command, which can be run in that container only"),
        _ => return Err("it asks in a way that is not known here"),
    }
    Ok(probe)
}

fn check(get: &HTTPGetAction) -> Result<(), &'static str> {
    if get.scheme.as_deref().is_some_and(|scheme| scheme != "HTTP") {
        return Err("it asks for HTTPS");
    }
    if get.host.as_deref().is_some_and(|host| !is_loopback(host)) {
        return Err("it asks another host");
    }
    let path = get.path.as_deref().unwrap_or_default();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    if path.parse::<Uri>().is_err() {
        return Err("its path is none that a request could have");
    }
    let is_sound = |name: &str, value: &str| {
        HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok()
    };
    if !get.http_headers.iter().flatten().all(|header| is_sound(&header.name, &header.value)) {
        return Err("it has a header that no request could have");
    }
    Ok(())
}

/// Where the sidecar asks anyway. Not every server listens on both, but whoever asks the kubelet for loopback means the
/// node's, which is a slip.
fn is_loopback(host: &str) -> bool {
    host.is_empty() || host == "localhost" || host == "127.0.0.1"
}
